"""The sign-up canary, as billing has its part in it: bought, ready, deleted; or not in time."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keyturn.events import (
    CanaryFailed,
    EntitlementChanged,
    Event,
    InstallDeleted,
    InstallFailed,
    InstallReady,
    PurchaseOpened,
)
from support.billing import CATALOG, World, load, order
from support.runs import begins, report, starts

pytestmark = pytest.mark.servers


def _with_a_canary(billing: World) -> None:
    """What it buys is in the sample catalogue."""
    settings = billing.deps.settings.model_copy(update={"canary_email": "canary@example.com"})
    billing.deps = replace(billing.deps, settings=settings)


async def _begun(billing: World) -> tuple[str, str]:
    """The run, and its purchase."""
    run_id = await starts(billing, "canary")
    await billing.work()
    (opened,) = await billing.published(PurchaseOpened)
    assert (opened.product, opened.contact.email) == ("canary", "canary@example.com")
    return run_id, opened.subject


def _told(billing: World, kind: type[Event], purchase: str, **said: Any) -> Event:
    job = {"job_id": "1", "action": "provision"}
    return kind(**{"subject": purchase, "time": billing.clock.now(), **job, **said})


async def test_the_canary_is_bought_and_deleted_and_its_time_reported(billing: World) -> None:
    _with_a_canary(billing)
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
    _with_a_canary(billing)
    run_id, purchase = await _begun(billing)
    billing.clock.move(timedelta(minutes=9))
    await billing.work()
    assert await billing.published(CanaryFailed) == []
    billing.clock.move(timedelta(minutes=2))
    await billing.work()
    told = await report(billing, run_id)
    assert (told["status"], told["failed"]) == ("done", 1)
    (failed,) = await billing.published(CanaryFailed)
    assert (failed.subject, failed.step, failed.cause) == (purchase, "install", "not ready after 10 minutes")
    assert (await billing.published(EntitlementChanged, purchase))[-1].wanted == "ended"


async def test_a_canary_whose_install_fails_alerts_at_once_with_step_and_cause(billing: World) -> None:
    _with_a_canary(billing)
    run_id, purchase = await _begun(billing)
    said = {"step": "health", "cause": "Permanent", "message": "answered 500", "attempts": 3}
    await billing.hear(_told(billing, InstallFailed, purchase, **said))
    await billing.work()
    told = await report(billing, run_id)
    assert (told["status"], told["failed"]) == ("done", 1)
    assert [mark.partition(" at ")[0] for mark in told["items"][0]["did"]] == ["failed"]
    (failed,) = await billing.published(CanaryFailed)
    assert failed.step == "install"
    assert failed.cause.startswith("failed at health: Permanent: answered 500")
    assert (await billing.published(EntitlementChanged, purchase))[-1].wanted == "ended"


async def test_a_canary_that_is_not_deleted_in_time_alerts_and_says_what_was_done_before(billing: World) -> None:
    _with_a_canary(billing)
    run_id, purchase = await _begun(billing)
    await billing.hear(_told(billing, InstallReady, purchase, setup=True))
    await billing.work()
    billing.clock.move(timedelta(minutes=21))
    await billing.work()
    (failed,) = await billing.published(CanaryFailed)
    assert (failed.step, failed.cause) == ("deletion", "not deleted after 20 minutes")
    (item,) = (await report(billing, run_id))["items"]
    assert [mark.split(" after ")[0] for mark in item["did"]] == ["ready"]


async def test_a_canary_that_cannot_buy_alerts_with_the_step(billing: World) -> None:
    _with_a_canary(billing)
    settings = billing.deps.settings.model_copy(update={"canary_email": "not an address"})
    billing.deps = replace(billing.deps, settings=settings)
    await starts(billing, "canary")
    for _ in range(8):
        await billing.work()
        billing.clock.move(timedelta(minutes=5))
    (failed,) = await billing.published(CanaryFailed)
    assert failed.step == "checkout"
    assert "email" in failed.cause


async def test_there_is_no_canary_without_a_plan_or_an_address_and_a_dry_run_buys_nothing(billing: World) -> None:
    assert (await begins(billing, "canary"))["changed"] == 0
    _with_a_canary(billing)
    assert (await begins(billing, "canary", dry_run=True))["facts"] == {"buy canary": 1}
    text = CATALOG.read_text()
    await load(billing, text.replace("kind: canary", "kind: application"))
    assert (await begins(billing, "canary"))["parts"] == 0
    assert await billing.published(PurchaseOpened) == []


async def test_nobody_else_sees_or_gets_what_the_canary_buys(billing: World) -> None:
    """Nor hears that there is such a thing."""
    products = (await billing.ask("GET", "/internal/products")).json()["items"]
    assert products
    assert "canary" not in str(products)
    for asked, code in (({"product": "canary"}, "unknown_product"), ({"plan_id": "canary"}, "unknown_plan")):
        for path, body in (("/internal/checkouts", order(**asked)), ("/internal/coupons/check", asked)):
            refused = await billing.ask("POST", path, json=body | {"coupon_code": "WELCOME10"})
            assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert await billing.rows("SELECT 1 FROM purchases") == []
