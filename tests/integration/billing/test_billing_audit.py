"""The audit of money against machines, as billing has its part in it."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from billing.auditing import to_audit
from keyturn.events import AuditFound, Compared, EntitlementChanged, EntitlementsListed, InstallsCompared, Mismatch
from support.billing import World, copies
from support.runs import report, starts
from support.subscriptions import subscribes

pytestmark = pytest.mark.servers


async def _answers(billing: World, found: dict[str, Mismatch], *, again: int = 1) -> None:
    """The provisioner, to each page."""
    for page in await billing.published(EntitlementsListed):
        inside = [id_ for id_ in found if page.after < id_ <= (page.upto or "g")]
        told = [Compared(purchase_id=id_, mismatch=found[id_]) for id_ in inside]
        said = {"run_id": page.run_id, "page": page.page, "found": told}
        event = InstallsCompared(subject=page.subject, time=billing.clock.now(), **said)
        await billing.hear(event, *copies([event] * again))
    await billing.work()


async def test_every_entitlement_is_on_one_page(billing: World) -> None:
    bought = sorted([(await subscribes(billing, email=f"jane{n}@example.com")).id for n in range(4)])
    pages, after = [], None
    async with billing.database.transaction("test") as tx:
        while found := await to_audit(tx, after, 2):
            after = found[-1]
            pages.append(after.key)
    first = str(UUID(int=0))
    assert pages == [f"page {first}:{bought[1]}", f"page {bought[1]}:{bought[3]}", f"page {bought[3]}:"]


async def test_what_does_not_fit_is_told_once_and_mended_where_that_is_safe(billing: World) -> None:
    bought = sorted([(await subscribes(billing, email=f"jane{n}@example.com")).id for n in range(5)])
    run_id = await starts(billing, "audit")
    await billing.work()
    (page,) = await billing.published(EntitlementsListed)
    assert ([one.purchase_id for one in page.items], page.upto) == (bought, None)
    assert (await report(billing, run_id))["status"] == "processing"
    await _answers(billing, {bought[0]: "install_missing", bought[3]: "suspended_but_running"})
    told = await report(billing, run_id)
    assert (told["status"], told["failed"]) == ("done", 0)
    again = "entitlement.changed.v1"
    assert told["facts"] == {"install_missing": 1, "suspended_but_running": 1, again: 1}
    assert {one["customer"]: one["did"] for one in told["items"]} == {
        bought[0]: ["install_missing", again],
        bought[3]: ["suspended_but_running"],
    }
    (found,) = await billing.published(AuditFound)
    assert (found.counts, found.mended) == ({"install_missing": 1, "suspended_but_running": 1}, 1)
    assert found.examples == [bought[0], bought[3]]
    versions = [one.version for one in await billing.published(EntitlementChanged, bought[0])]
    assert versions == [1, 1]  # the level as it was: to a provisioner that has it, it is nothing new


async def test_nothing_found_alerts_nobody_and_a_dry_run_mends_nothing(billing: World) -> None:
    subscriber = await subscribes(billing)
    run_id = await starts(billing, "audit")
    await billing.work()
    await _answers(billing, {})
    assert (await report(billing, run_id))["facts"] == {}
    dry = await starts(billing, "audit", dry_run=True)
    await billing.work()
    await _answers(billing, {subscriber.id: "install_missing"})
    assert (await report(billing, dry))["facts"] == {"install_missing": 1}
    assert await billing.published(AuditFound) == []
    assert len(await billing.published(EntitlementChanged)) == 1


async def test_a_provisioner_that_is_away_makes_the_run_fail_and_keeps_it_waiting_for_an_hour(billing: World) -> None:
    await subscribes(billing)
    run_id = await starts(billing, "audit")
    await billing.work()
    billing.clock.move(timedelta(minutes=59))
    await billing.work()
    assert (await report(billing, run_id))["status"] == "processing"
    billing.clock.move(timedelta(minutes=2))
    await billing.work()
    told = await report(billing, run_id)
    assert (told["status"], told["failed"]) == ("done", 1)
    assert told["items"][0]["error"] == "the provisioner gave no answer"


async def test_what_does_not_fit_in_our_own_books_is_found_and_settled(billing: World) -> None:
    one, other, third = [await subscribes(billing, email=f"jane{n}@example.com") for n in range(3)]
    await billing.rows(
        "UPDATE subscriptions SET state = 'suspended' WHERE purchase_id = :id RETURNING 1", id=UUID(one.id)
    )
    await billing.rows("DELETE FROM entitlements WHERE purchase_id = :id RETURNING 1", id=UUID(other.id))
    await billing.rows(
        "UPDATE subscriptions SET next_step_at = NULL WHERE purchase_id = :id RETURNING 1", id=UUID(third.id)
    )
    assert await _found(billing) == {
        one.id: ["entitlement_differs", "entitlement.changed.v1"],
        other.id: ["paid_without_entitlement", "entitlement.changed.v1"],
    }
    assert (await one.entitled())[-1] == ("suspended", ["nonpayment"])
    assert await _found(billing) == {}
    billing.clock.move(timedelta(days=33))
    assert await _found(billing) == {third.id: ["period_over"], other.id: ["period_over"]}


async def _found(billing: World) -> dict[str, Any]:
    run_id = await starts(billing, "audit")
    await billing.work()
    await _answers(billing, {})
    return {part["customer"]: part["did"] for part in (await report(billing, run_id))["items"]}
