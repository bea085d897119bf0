"""A catalogue is applied once, whoever sends it how often, and undone by no restart."""

import asyncio
from typing import Any

import pytest

from billing.applying import FILE, apply_file
from billing.catalog import parse_catalog
from keyturn.events import OperatorActed
from support.billing import CATALOG, World, order

pytestmark = pytest.mark.servers
SAMPLE = CATALOG.read_text()
DEARER = SAMPLE.replace("currency: EUR, amount: 4900}", "currency: EUR, amount: 5900}")


async def send(billing: World, content: str, path: str = "", **changes: Any) -> Any:
    body = {"content": content, "file": "new.yaml", "blueprints": {"sandbox-app": []}, "reason": "spring prices"}
    return await billing.ask("POST", f"/internal/catalog{path}", "admin", json=body | changes)


async def start(billing: World, content: str) -> None:
    """As billing does when it starts with this file."""
    async with billing.database.transaction("test") as tx:
        await apply_file(tx, parse_catalog(content))


async def amount(billing: World) -> int:
    return int((await billing.buy())["amount"])


async def test_a_difference_is_told_and_changes_nothing(billing: World) -> None:
    answer = (await send(billing, DEARER, "/diff")).json()
    price = "price sample-starter one_time EUR"
    assert answer["changes"] == [
        {"change": "replaced", "what": price, "before": {"amount": 4900}, "after": {"amount": 5900}}
    ]
    assert answer["sold"]["by"] == FILE
    assert await amount(billing) == 4900
    assert await billing.published(OperatorActed) == []


async def test_applying_replaces_a_price_and_who_bought_at_the_old_one_keeps_it(billing: World) -> None:
    bought = await billing.buy()
    assert (await send(billing, DEARER)).status_code == 200
    assert await amount(billing) == 5900
    await billing.hear(billing.stripe.told(billing.stripe.pay(bought["session_id"])))
    assert await billing.state_of(bought["purchase_id"]) == "paid"
    (acted,) = await billing.published(OperatorActed)
    assert (acted.actor, acted.action, acted.reason) == ("ada", "catalog.apply", "spring prices")
    assert acted.before["digest"] != acted.after["digest"]
    assert acted.after["replaced"] == 1


async def test_applying_again_changes_nothing_however_many_do_so_at_once(billing: World) -> None:
    answers = await asyncio.gather(*(send(billing, DEARER) for _ in range(6)))
    assert [answer.status_code for answer in answers] == [200] * 6
    assert sorted(len(answer.json()["changes"]) for answer in answers) == [0, 0, 0, 0, 0, 1]
    assert len(await billing.published(OperatorActed)) == 1
    prices = await billing.rows("SELECT id, amount FROM prices WHERE active ORDER BY id")
    assert (await send(billing, DEARER)).json()["changes"] == []
    assert await billing.rows("SELECT id, amount FROM prices WHERE active ORDER BY id") == prices


async def test_two_catalogues_at_once_leave_one_of_them_whole(billing: World) -> None:
    texts = [SAMPLE.replace("key: 1\n", f"key: {number}\n") for number in range(101, 107)]
    answers = await asyncio.gather(*(send(billing, text) for text in texts))
    assert [answer.status_code for answer in answers] == [200] * 6
    rows = await billing.rows("SELECT content FROM catalogs ORDER BY number DESC LIMIT 1")
    (plan,) = await billing.rows("SELECT key FROM plans WHERE slug = 'sample-starter'")
    assert f'"key":{plan["key"]},' in rows[0]["content"]
    assert len(await billing.published(OperatorActed)) == 6


async def test_what_is_taken_out_is_no_longer_sold_and_may_come_back(billing: World) -> None:
    without = SAMPLE.partition("  sample-shop:")[0]
    answer = (await send(billing, without)).json()
    assert {"withdrawn"} == {change["change"] for change in answer["changes"]}
    refused = await billing.ask("POST", "/internal/checkouts", json=order(product="sample-shop"))
    assert refused.json()["code"] == "unknown_product"
    await send(billing, SAMPLE)
    assert (await billing.buy(product="sample-shop"))["amount"] == 9900


async def test_a_restart_undoes_nothing_that_an_operator_applied(billing: World) -> None:
    await send(billing, DEARER)
    await start(billing, SAMPLE)
    assert await amount(billing) == 5900
    await start(billing, DEARER)
    assert len(await billing.rows("SELECT 1 FROM catalogs")) == 2
    await start(billing, SAMPLE.replace("EUR, amount: 4900}", "EUR, amount: 6900}"))
    assert await amount(billing) == 6900
    await send(billing, SAMPLE)  # an operator may go back
    assert await amount(billing) == 4900
    told = await billing.rows("SELECT applied_by, reason FROM catalogs ORDER BY number")
    assert [row["applied_by"] for row in told] == [FILE, "ada", FILE, "ada"]
    assert [row["reason"] for row in told] == [None, "spring prices", None, "spring prices"]


def _line(of: str) -> int:
    """The first that holds this."""
    return next(number for number, line in enumerate(SAMPLE.splitlines(), 1) if of in line and "#" not in line)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            {"blueprints": {}},
            (_line("blueprint: "), "products.sample-app.blueprint: there is no blueprint 'sandbox-app'"),
        ),
        (
            {"blueprints": {"sandbox-app": ["speed"]}},
            (
                _line("sample-starter:"),
                "products.sample-app.plans.sample-starter: blueprint sandbox-app reads {plan.speed}, a limit it lacks",
            ),
        ),
        ({"content": SAMPLE.replace("currency: EUR", "currency: euro", 1)}, None),
        ({"content": "\x00"}, (1, "not YAML in UTF-8")),
        ({"content": "a" * 300_000}, (1, "more than 262144 characters")),
    ],
)
@pytest.mark.parametrize("path", ["", "/diff"])
async def test_a_faulty_catalogue_is_refused_with_file_and_line(
    billing: World, path: str, changes: dict[str, Any], fault: tuple[int, str] | None
) -> None:
    answer = await send(billing, **({"content": DEARER, "path": path} | changes))
    assert (answer.status_code, answer.json()["code"]) == (422, "catalog_faulty")
    first = answer.json()["faults"][0]
    assert first["file"] == "new.yaml"
    assert answer.json()["detail"] == f"new.yaml:{first['line']}: {first['detail']}"
    if fault:
        assert (first["line"], first["detail"]) == fault
    assert await amount(billing) == 4900
    assert len(await billing.rows("SELECT 1 FROM catalogs")) == 1
