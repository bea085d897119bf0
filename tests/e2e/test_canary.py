"""The sign-up canary: every hour a free plan is bought, made and deleted, end to end; and what hinders it is told."""

from typing import Any

import pytest

from support import recipes
from support.waiting import wait_until
from support.whole import PATIENCE, Begin, Whole

pytestmark = pytest.mark.servers
ADDRESS = "canary@shop.example"
OPERATOR = "operator@sandbox.example"


async def _next(system: Whole) -> tuple[dict[str, Any], dict[str, Any]]:
    """An hour passes. The canary's run, done, and its one part."""
    before = len((await system.ask("/api/runs?name=canary"))["items"])
    system.move(minutes=60)
    found: list[dict[str, Any]] = []

    async def done() -> bool:
        found[:] = (await system.ask("/api/runs?name=canary"))["items"]
        return len(found) > before and found[0]["status"] == "done"

    await wait_until(done, PATIENCE)
    told = await system.ask(f"/api/runs/{found[0]['id']}")
    (part,) = told["items"]
    return told, part


async def test_the_canary_buys_what_nobody_else_sees_has_it_deleted_and_says_where_it_stands_still(
    begin: Begin, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with begin("memory", CANARY_EMAIL=ADDRESS) as system:
        assert "canary" not in str(await system.ask("/api/products"))
        refused = await system.client.post("/api/checkout", json={"email": ADDRESS, "product": "canary"})
        assert (refused.status_code, refused.json()["code"]) == (422, "unknown_product")

        told, part = await _next(system)
        assert told["failed"] == 0
        assert [mark.split(" after ")[0] for mark in part["did"]] == ["ready", "deleted"]
        install = await system.ask(f"/api/installs/{part['customer']}")
        assert (install["status"], {one["status"] for one in install["resources"]}) == ("deleted", {"gone"})
        assert [mail.subject for mail in system.system.mailbox.to(ADDRESS)] != []
        assert system.system.mailbox.to(OPERATOR) == []

        folder = tmp_path_factory.mktemp("broken")
        broken = {"BLUEPRINTS": recipes.write(folder, recipes.tiny({"env": {"LD_PRELOAD": "x"}}))}
        await system.system.host.stop("provisioner")
        await system.system.start("provisioner", **broken)
        await system.system.ready("provisioner")
        told, part = await _next(system)
        assert told["failed"] == 1
        await system.settled()
        (mail,) = [mail for mail in system.system.mailbox.to(OPERATOR) if "sign-up canary" in mail.subject]
        for said in ("install", "failed at app", "may not set LD_PRELOAD", part["customer"]):
            assert said in mail.text
        assert (await system.ask(f"/api/installs/{part['customer']}"))["status"] == "deleted"
