"""A change of plan whose job waits for somebody: the audit tells of it, and an operator pushes it on or calls it off."""

from datetime import timedelta
from typing import Any

import pytest

from keyturn.events import (
    AuditFound,
    Compared,
    EntitlementChanged,
    EntitlementsListed,
    InstallPlanChanged,
    InstallsCompared,
    OperatorActed,
    SubscriptionPlanChanged,
    SubscriptionPlanRefused,
)
from support.billing import World, copies
from support.runs import report, starts
from support.subscriptions import Subscriber, subscribes

pytestmark = pytest.mark.servers
CAUSE = "needs_operator: container: no room at the target"


async def _post(subscriber: Subscriber, act: str, role: str = "operator", **body: Any) -> Any:
    path = f"/internal/subscriptions/{subscriber.id}/{act}"
    return await subscriber.billing.ask("POST", path, role, json={"reason": "looked into it"} | body)


async def _changes(billing: World, plan: str = "sample-pro") -> tuple[Subscriber, str | None]:
    """Accepted half-way through the month, and the checkout for the difference."""
    subscriber = await subscribes(billing)
    await subscriber.time_passes(days=10)
    quote = (await _post(subscriber, "plan/quote", plan_id=plan)).json()
    accepted = (await _post(subscriber, "plan", quote_id=quote["quote_id"])).json()
    return subscriber, accepted.get("checkout", {}).get("session_id")


@pytest.fixture
async def waiting(billing: World) -> Subscriber:
    """Paid, and the install does not follow."""
    subscriber, checkout = await _changes(billing)
    await subscriber.pays(checkout)
    return subscriber


def _follows(subscriber: Subscriber, plan: str) -> InstallPlanChanged:
    said = {"subject": subscriber.id, "time": subscriber.billing.clock.now(), "job_id": "2", "action": "change_plan"}
    return InstallPlanChanged(**said, plan=plan)


async def _status(subscriber: Subscriber) -> str:
    return str((await subscriber.whole())["plan_changes"][0]["status"])


async def _audited(billing: World, *found: Compared) -> dict[str, Any]:
    run_id = await starts(billing, "audit")
    await billing.work()
    page = (await billing.published(EntitlementsListed))[-1]
    said = {"run_id": page.run_id, "page": page.page, "found": list(found)}
    answer = InstallsCompared(subject=page.subject, time=billing.clock.now(), **said)
    await billing.hear(answer, *copies([answer]))
    await billing.work()
    return await report(billing, run_id)


async def test_the_audit_tells_of_it_with_the_cause(billing: World, waiting: Subscriber) -> None:
    told = await _audited(billing, Compared(purchase_id=waiting.id, mismatch="plan_not_followed", cause=CAUSE))
    (item,) = told["items"]
    assert (item["customer"], item["did"], item["error"]) == (waiting.id, ["plan_not_followed"], CAUSE)
    (found,) = await billing.published(AuditFound)
    assert (found.counts, found.mended) == ({"plan_not_followed": 1}, 0)


async def test_one_that_takes_a_day_is_told_by_billing_itself_and_once(billing: World, waiting: Subscriber) -> None:
    assert (await _audited(billing))["items"] == []
    billing.clock.move(timedelta(days=1, minutes=1))
    told = await _audited(billing, Compared(purchase_id=waiting.id, mismatch="plan_not_followed", cause=CAUSE))
    (item,) = told["items"]
    assert (item["did"], item["error"]) == (["plan_not_followed"], CAUSE)


async def test_pushed_on_it_is_something_new_to_the_provisioner(billing: World, waiting: Subscriber) -> None:
    before = (await billing.published(EntitlementChanged, waiting.id))[-1]
    answer = await _post(waiting, "plan/push")
    assert (answer.status_code, answer.json()["status"]) == (200, "applying")
    after = (await billing.published(EntitlementChanged, waiting.id))[-1]
    assert (after.version, after.plan, after.limits) == (before.version + 1, "sample-pro", before.limits)
    (acted,) = [one for one in await billing.published(OperatorActed) if one.action == "subscription.push_plan"]
    assert (acted.subject, acted.reason) == (waiting.id, "looked into it")
    await billing.hear(_follows(waiting, "sample-pro"))
    assert await _status(waiting) == "done"
    assert (await _post(waiting, "plan/push")).json()["code"] == "no_plan_change"
    assert len(await billing.published(SubscriptionPlanChanged, waiting.id)) == 1


async def test_called_off_the_old_plan_and_the_money_come_back_once(billing: World, waiting: Subscriber) -> None:
    first = (await billing.published(EntitlementChanged, waiting.id))[0]
    assert (await _post(waiting, "plan/call-off")).json()["status"] == "refused"
    assert (await _post(waiting, "plan/call-off")).json()["code"] == "no_plan_change"
    await billing.work()
    last = (await billing.published(EntitlementChanged, waiting.id))[-1]
    assert (last.plan, last.limits) == (first.plan, first.limits)
    (refused,) = await billing.published(SubscriptionPlanRefused, waiting.id)
    paid = [one for one in (await waiting.whole())["payments"] if one["period"] is None]
    assert (refused.cause, refused.refund) == ("called_off", paid[0]["amount"])
    assert billing.stripe.left(paid[0]["payment_key"]) == 0
    await billing.hear(_follows(waiting, "sample-pro"), _follows(waiting, first.plan))  # too late, and what was told
    assert (await waiting.subscription())["plan"] == first.plan
    (acted,) = [one for one in await billing.published(OperatorActed) if one.action == "subscription.call_off_plan"]
    assert (acted.before["plan"], acted.after["plan"]) == ("sample-pro", first.plan)
    await waiting.time_passes(until=await waiting.ends_at() - timedelta(days=2))
    assert (await waiting.subscription())["due"] == 900


async def test_called_off_before_it_is_paid_nobody_can_pay_it(billing: World) -> None:
    subscriber, checkout = await _changes(billing)
    assert (await _post(subscriber, "plan/call-off")).json()["status"] == "void"
    await billing.work()
    assert checkout in billing.stripe.closed


async def test_only_operators_do_it_and_only_with_a_reason(billing: World, waiting: Subscriber) -> None:
    assert (await _post(waiting, "plan/push", "viewer")).status_code == 403
    assert (await _post(waiting, "plan/call-off", "customer")).status_code == 403
    assert (await _post(waiting, "plan/call-off", reason="")).status_code == 422
    assert await _status(waiting) == "applying"


async def test_marked_paid_twice_without_a_reference_it_is_paid_once(billing: World) -> None:
    subscriber, _ = await _changes(billing)
    path = f"/internal/purchases/{subscriber.id}/mark-paid"
    answers = [await billing.ask("POST", path, "operator", json={"reason": "by transfer"}) for _ in range(2)]
    assert [one.status_code for one in answers] == [200, 200]
    await billing.hear(_follows(subscriber, "sample-pro"))
    assert (await billing.ask("POST", path, "operator", json={"reason": "by transfer"})).status_code == 200
    rows = await billing.rows("SELECT change_id FROM payments WHERE provider = 'operator'")
    assert len(rows) == 1
    assert rows[0]["change_id"]
