"""Who went to a cheaper plan has the difference as credit: when the money goes back, they have not both."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from keyturn.events import CreditLeft, InstallPlanChanged
from support.billing import World, copies
from support.billing_facts import Facts
from support.subscriptions import Subscriber, orders

pytestmark = pytest.mark.servers
BEGIN = datetime(2027, 4, 1, 10, tzinfo=UTC)  # a month of thirty days
PAID = 2900
HALF = 1000  # of the difference to 9.00


async def _goes_down(billing: World) -> tuple[Subscriber, Facts]:
    billing.clock.move(BEGIN - billing.clock.now())
    subscriber = await orders(billing, plan_id="sample-pro")
    paid = await subscriber.pays()
    await subscriber.is_ready()
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=15))
    path = f"/internal/subscriptions/{subscriber.id}/plan"
    quote = (await billing.ask("POST", f"{path}/quote", "customer", json={"plan_id": "sample-starter"})).json()
    await billing.ask("POST", path, "customer", json={"quote_id": quote["quote_id"]})
    said: dict[str, Any] = {"subject": subscriber.id, "time": billing.clock.now(), "job_id": "2"}
    await billing.hear(InstallPlanChanged(**said, action="change_plan", plan="sample-starter"))
    assert await _credit(billing) == HALF
    return subscriber, Facts(paid)


async def _credit(billing: World) -> int:
    (row,) = await billing.rows("SELECT coalesce(sum(balance), 0) AS balance FROM credit_balances")
    return int(row["balance"])


async def _refunds(billing: World, subscriber: Subscriber, **body: Any) -> httpx.Response:
    """The first payment."""
    first = (await subscriber.whole())["payments"][0]["id"]
    asked = {"reason": "changed their mind"} | body
    answer = await billing.ask("POST", f"/internal/payments/{first}/refund", "admin", json=asked)
    await billing.work()
    return answer


async def test_a_whole_refund_takes_the_credit_along(billing: World) -> None:
    subscriber, facts = await _goes_down(billing)
    assert (await _refunds(billing, subscriber)).json()["amount"] == PAID
    assert subscriber.provider.left(facts.payment.payment_key) == 0
    assert await _credit(billing) == 0
    assert await subscriber.state() == "ended"
    assert await billing.published(CreditLeft) == []


async def test_a_refund_that_leaves_as_much_as_the_credit_takes_nothing(billing: World) -> None:
    subscriber, _ = await _goes_down(billing)
    await _refunds(billing, subscriber, amount=PAID - HALF)
    assert await _credit(billing) == HALF
    await _refunds(billing, subscriber, amount=300)
    assert await _credit(billing) == HALF - 300


async def test_what_is_spent_of_the_credit_does_not_go_back_as_money_too(billing: World) -> None:
    subscriber, facts = await _goes_down(billing)
    await subscriber.time_passes(days=9)
    assert [number for number, *_ in await subscriber.periods()] == [1, 2]  # the credit has paid it
    refused = await _refunds(billing, subscriber, amount=PAID)
    assert (refused.json()["code"], refused.json()["left"]) == ("refund_too_large", PAID - 900)
    assert (await _refunds(billing, subscriber)).json()["amount"] == PAID - 900
    assert (subscriber.provider.left(facts.payment.payment_key), await _credit(billing)) == (900, 0)


async def test_a_refund_that_fails_gives_the_credit_again(billing: World) -> None:
    _, facts = await _goes_down(billing)
    told = facts.refunded(PAID)
    await billing.hear(told, *copies([told]))
    assert await _credit(billing) == 0
    failed = facts.refund_failed(PAID)
    await billing.hear(failed, *copies([failed]))
    assert await _credit(billing) == HALF


async def test_a_lost_dispute_takes_the_credit_along_until_an_appeal_is_won(billing: World) -> None:
    subscriber, facts = await _goes_down(billing)
    await billing.hear(facts.disputed(), facts.closed("lost"))
    assert (await _credit(billing), await subscriber.state()) == (0, "ended")
    await billing.hear(facts.closed("won", after=20))
    assert await _credit(billing) == HALF
