"""The sign-up canary, as billing has its part in it: bought, ready, deleted; or not in time."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from billing.applying import apply_file
from billing.catalog import parse_catalog
from keyturn.events import CanaryFailed, EntitlementChanged, Event, InstallDeleted, InstallReady, PurchaseOpened
from support.billing import CATALOG, World, order
from support.runs import begins, report, starts

pytestmark = pytest.mark.servers
BIRD = """  bird:
    name: Canary
    kind: canary
    blueprint: sandbox-app
    policy: {retention_days: 0}
    plans:
      bird:
        name: Canary
        limits: {memory: 256M, cpus: 0.5}
        prices: [{cycle: one_time, currency: EUR, amount: 0}]
"""


async def _with_a_canary(billing: World) -> None:
    settings = billing.deps.settings.model_copy(update={"canary_email": "canary@example.com"})
    billing.deps = replace(billing.deps, settings=settings)
    text = CATALOG.read_text().replace("products:\n", "products:\n" + BIRD, 1)
    async with billing.database.transaction("test") as tx:
        await apply_file(tx, parse_catalog(text))


async def _begun(billing: World) -> tuple[str, str]:
    """The run, and its purchase."""
    run_id = await starts(billing, "canary")
    await billing.work()
    (opened,) = await billing.published(PurchaseOpened)
    assert (opened.product, opened.contact.email) == ("bird", "canary@example.com")
    return run_id, opened.subject


def _told(billing: World, kind: type[Event], purchase: str, **said: Any) -> Event:
    job = {"job_id": "1", "action": "provision"}
    return kind(**{"subject": purchase, "time": billing.clock.now(), **job, **said})


async def test_the_canary_is_bought_and_deleted_and_its_time_reported(billing: World) -> None:
    await _with_a_canary(billing)
    run_id, purchase = await _begun(billing)
    billing.clock.move(timedelta(seconds=30))
    await billing.hear(_told(billing, InstallReady, purchase, setup=True))
    await billing.work()
    ended = (await billing.published(EntitlementChanged, purchase))[-1]
    assert (ended.wanted, ended.reasons) == ("ended", ["canary"])
    assert ended.delete_after
    assert ended.delete_after <= billing.clock.now()
    assert (await report(billing, run_id))["status"] == "processing"
    billing.clock.move(timedelta(seconds=10))
    await billing.hear(_told(billing, InstallDeleted, purchase, action="delete", proof=[]))
    await billing.work()
    told = await report(billing, run_id)
    assert (told["status"], told["failed"]) == ("done", 0)
    assert [mark.split(" after ")[0] for mark in told["items"][0]["did"]] == ["ready", "deleted"]
    assert await billing.published(CanaryFailed) == []


async def test_a_canary_that_is_not_ready_in_time_alerts_and_is_deleted_all_the_same(billing: World) -> None:
    await _with_a_canary(billing)
    run_id, purchase = await _begun(billing)
    billing.clock.move(timedelta(minutes=9))
    await billing.work()
    assert await billing.published(CanaryFailed) == []
    billing.clock.move(timedelta(minutes=2))
    await billing.work()
    told = await report(billing, run_id)
    assert (told["status"], told["failed"]) == ("done", 1)
    (failed,) = await billing.published(CanaryFailed)
    assert (failed.subject, failed.cause) == (purchase, "not ready after 10 minutes")
    assert (await billing.published(EntitlementChanged, purchase))[-1].wanted == "ended"


async def test_there_is_no_canary_without_a_plan_or_an_address_and_a_dry_run_buys_nothing(billing: World) -> None:
    assert (await begins(billing, "canary"))["parts"] == 0
    settings = billing.deps.settings
    await _with_a_canary(billing)
    assert (await begins(billing, "canary", dry_run=True))["facts"] == {"buy bird": 1}
    billing.deps = replace(billing.deps, settings=settings)
    assert (await begins(billing, "canary"))["changed"] == 0
    assert await billing.published(PurchaseOpened) == []


async def test_nobody_else_sees_or_gets_what_the_canary_buys(billing: World) -> None:
    await _with_a_canary(billing)
    products = (await billing.ask("GET", "/internal/products")).json()["items"]
    assert "bird" not in {one["id"] for one in products}
    for asked in ({"product": "bird"}, {"plan_id": "bird"}):
        refused = await billing.ask("POST", "/internal/checkouts", json=order(**asked))
        assert (refused.status_code, refused.json()["code"]) in {(422, "unknown_product"), (422, "unknown_plan")}
    assert await billing.rows("SELECT 1 FROM purchases") == []
