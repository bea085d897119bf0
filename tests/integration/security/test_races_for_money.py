"""Several operators at once, or one in a hurry: money goes back once, and a payment is decided on once."""

import asyncio
from dataclasses import replace

import pytest

from support.billing import World

pytestmark = pytest.mark.servers
AT_ONCE = 6


async def paid(billing: World) -> str:
    bought = await billing.buy()
    await billing.hear(billing.stripe.told(billing.stripe.pay(bought["session_id"])))
    return str(bought["purchase_id"])


async def test_refunds_asked_for_at_once_never_exceed_the_payment(billing: World) -> None:
    path = f"/internal/purchases/{await paid(billing)}/refund"
    body = {"reason": "unhappy", "amount": 3000}  # of 4900
    answers = await asyncio.gather(*(billing.ask("POST", path, "admin", json=body) for _ in range(AT_ONCE)))
    assert sorted(answer.status_code for answer in answers) == [202, *[422] * (AT_ONCE - 1)]
    await billing.work()
    assert [sent.amount for sent in billing.stripe.refunds.values()] == [3000]


async def test_a_payment_in_review_is_decided_on_once(billing: World) -> None:
    bought = await billing.buy()
    payment = billing.stripe.pay(bought["session_id"])
    await billing.hear(billing.stripe.told(replace(payment, amount=1)))
    (found,) = (await billing.ask("GET", "/internal/payments?state=review", "viewer")).json()["items"]
    path = f"/internal/payments/{found['id']}/decide"
    orders = [{"decision": decision, "reason": "r"} for decision in ("match", "foreign") * 3]
    answers = await asyncio.gather(*(billing.ask("POST", path, "operator", json=order) for order in orders))
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 5]
