"""What is sold is changed while the shop is open, through all services."""

import pytest
import yaml

from support.pages import ROOT
from support.ways import IN_MEMORY
from support.whole import Whole

pytestmark = [pytest.mark.servers, IN_MEMORY]
SAMPLE = yaml.safe_load((ROOT / "catalog.yaml").read_text())
STALL = {
    "name": "A stall",
    "kind": "hosting",
    "blueprint": "sandbox-app",
    "plans": {
        "stall": {
            "name": "Stall",
            "prices": [{"cycle": "quarterly", "currency": "EUR", "amount": 3000, "setup_fee": 500}],
        }
    },
}


def catalogue(**stall: object) -> str:
    return yaml.safe_dump(SAMPLE | {"products": SAMPLE["products"] | {"stall": STALL | stall}}, sort_keys=False)


async def test_a_product_is_sold_once_it_is_applied_and_only_where_it_can_be_made(system: Whole) -> None:
    told = {"content": catalogue(blueprint="nobodys"), "file": "new.yaml", "reason": "a test"}
    refused = await system.client.post("/api/catalog", json=told, headers=system.operator)
    assert (refused.status_code, refused.json()["code"]) == (422, "catalog_faulty")
    assert refused.json()["detail"].endswith("products.stall.blueprint: there is no blueprint 'nobodys'")
    applied = await system.tell("/api/catalog", content=catalogue(), reason="a stall")
    assert {change["change"] for change in applied["changes"]} == {"added"}
    assert (await system.tell("/api/catalog", content=catalogue()))["changes"] == []
    listed = (await system.client.get("/api/products")).json()["items"]
    (stall,) = [product for product in listed if product["id"] == "stall"]
    assert (stall["kind"], stall["plans"][0]["prices"][0]["setupFee"]) == ("hosting", 500)
    bought, _ = await system.own(product="stall")
    assert (bought.answer["amount"], bought.answer["setupFee"]) == (3500, 500)
    await system.assert_exactly_once(bought)
    audit = await system.ask("/api/audit?action=catalog.apply")
    assert [entry["after"]["added"] for entry in audit["items"] if entry["reason"] == "a stall"] == [3]
    await system.tell("/api/catalog", content=(ROOT / "catalog.yaml").read_text())
