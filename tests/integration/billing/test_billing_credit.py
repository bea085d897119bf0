"""Customers' credit and credit notes: booked once, never below nothing, and used for the next renewal."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from billing.credits import give_credit
from billing.repository.purchases import lock_purchase
from keyturn.events import CreditNoteIssued, InvoicePaid, OperatorActed, SubscriptionRenewalDue
from support.billing import World, at_once, copies
from support.billing_facts import Facts
from support.subscriptions import PRICE, Subscriber, orders, subscribes

pytestmark = pytest.mark.servers
EMAIL = "ada@example.com"


async def _give(billing: World, given: Any, role: str = "admin", **changes: Any) -> Any:
    gift = {"email": EMAIL, "currency": "EUR", "amount": given, "reason": "sorry for the outage"} | changes
    return await billing.ask("POST", "/internal/credits", role, json=gift)


async def _balance(billing: World) -> int:
    answer = (await billing.ask("GET", "/internal/credits", "viewer", params={"email": EMAIL})).json()
    return sum(one["balance"] for one in answer["balances"] if one["currency"] == "EUR")


async def _invoices(billing: World, **asked: Any) -> list[dict[str, Any]]:
    """Oldest first."""
    answer = (await billing.ask("GET", "/internal/invoices", "viewer", params=asked)).json()
    return list(reversed(answer["items"]))


async def _asked(subscriber: Subscriber) -> None:
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=6))


async def test_an_operators_gift_is_booked_with_its_reason_and_once_for_each_key(billing: World) -> None:
    await orders(billing)
    assert (await _give(billing, 500, key="k1")).status_code == 201
    assert (await _give(billing, 500, key="k1")).json() == {"balances": [{"currency": "EUR", "balance": 500}]}
    (told,) = [one for one in await billing.published(OperatorActed) if one.action == "credit.give"]
    assert (told.reason, told.after["amount"]) == ("sorry for the outage", 500)
    listed = (await billing.ask("GET", "/internal/credits", "viewer", params={"email": EMAIL})).json()["items"]
    assert [(one["amount"], one["reason"]) for one in listed] == [(500, "sorry for the outage")]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"email": "nobody@example.com"}, "customer_unknown"),
        ({"amount": 0}, "invalid_request"),
        ({"amount": 1.5}, "invalid_request"),
        ({"currency": "eur"}, "invalid_request"),
        ({"reason": None}, "invalid_request"),
    ],
)
async def test_a_faulty_gift_is_refused(billing: World, changes: dict[str, Any], code: str) -> None:
    await orders(billing)
    assert (await _give(billing, 500, **changes)).json()["code"] == code
    assert await billing.rows("SELECT 1 AS one FROM credits") == []


async def test_only_an_admin_gives(billing: World) -> None:
    assert (await _give(billing, 500, role="operator")).status_code == 403


async def test_credit_is_used_for_the_next_renewal_and_the_rest_is_paid(billing: World) -> None:
    subscriber = await subscribes(billing)
    await _give(billing, 300)
    await _asked(subscriber)
    renewal = (await _invoices(billing))[-1]
    assert (renewal["total"], renewal["credited"], renewal["due"]) == (PRICE, 300, PRICE - 300)
    (due,) = await billing.published(SubscriptionRenewalDue, subscriber.id)
    assert due.due == PRICE - 300
    checkout = await subscriber.opens_checkout()
    assert billing.stripe.orders[checkout].amount == PRICE - 300
    await subscriber.pays(checkout)
    assert (await _invoices(billing))[-1]["status"] == "paid"
    assert await _balance(billing) == 0


async def test_what_credit_pays_whole_asks_no_provider(billing: World) -> None:
    subscriber = await subscribes(billing)
    await _give(billing, 2 * PRICE + 100)
    calls = list(billing.stripe.calls)
    await _asked(subscriber)
    assert [number for number, *_ in await subscriber.periods()] == [1, 2]
    assert billing.stripe.calls == calls
    assert await billing.published(SubscriptionRenewalDue, subscriber.id) == []
    renewal = (await _invoices(billing))[-1]
    assert (renewal["status"], renewal["total"], renewal["due"]) == ("paid", PRICE, 0)
    assert (await billing.published(InvoicePaid))[-1].number == renewal["number"]
    assert await _balance(billing) == PRICE + 100


async def test_credit_leaves_what_the_provider_takes(billing: World) -> None:
    subscriber = await subscribes(billing)
    await _give(billing, PRICE - 10)
    await _asked(subscriber)
    assert (await _invoices(billing))[-1]["due"] == 50
    assert await _balance(billing) == 40


async def test_a_withdrawn_renewal_gives_its_credit_back_and_takes_it_when_asked_again(billing: World) -> None:
    subscriber = await subscribes(billing)
    await _give(billing, 300)
    await _asked(subscriber)
    path = f"/internal/subscriptions/{subscriber.id}"
    await billing.ask("POST", f"{path}/cancel", "customer", json={})
    assert await _balance(billing) == 300
    await _give(billing, 100)
    await billing.ask("POST", f"{path}/keep", "customer", json={})
    assert (await _balance(billing), (await subscriber.subscription())["due"]) == (0, PRICE - 400)


async def test_a_checkout_of_another_amount_pays_nothing(billing: World) -> None:
    """An order at Razorpay cannot be closed: whoever pays it after the amount became another one gets it back."""
    subscriber = await subscribes(billing, currency="INR")
    await _asked(subscriber)
    old = await subscriber.opens_checkout()
    path = f"/internal/subscriptions/{subscriber.id}"
    await billing.ask("POST", f"{path}/cancel", "customer", json={})
    await _give(billing, 10_000, currency="INR")
    await billing.ask("POST", f"{path}/keep", "customer", json={})
    new = await subscriber.opens_checkout()
    assert new != old
    await subscriber.pays(old)
    assert await subscriber.payments() == [("matched", 1), ("surplus", None)]
    await subscriber.pays(new)
    assert sorted(await subscriber.payments(), key=str)[:2] == [("matched", 1), ("matched", 2)]


async def test_one_source_gives_once_though_many_say_so_at_once(billing: World) -> None:
    subscriber = await orders(billing)

    async def give() -> None:
        async with billing.database.transaction("test") as tx:
            purchase = await lock_purchase(tx, UUID(subscriber.id))
            assert purchase
            await give_credit(tx, purchase, 700, source="change 1", reason="unused time")

    await at_once(*(give() for _ in range(5)))
    assert await _balance(billing) == 700


async def test_two_renewals_at_once_never_use_the_same_credit(billing: World) -> None:
    one, other = await subscribes(billing), await subscribes(billing)
    await _give(billing, PRICE + 100)
    await _asked(one)
    invoices = [one for one in await _invoices(billing) if one["period"] == 2]
    assert {other.id, one.id} == {invoice["purchase_id"] for invoice in invoices}
    assert sum(invoice["credited"] for invoice in invoices) + await _balance(billing) == PRICE + 100


async def test_the_database_lets_no_balance_fall_below_nothing(billing: World) -> None:
    await orders(billing)
    await _give(billing, 100)
    with pytest.raises(Exception, match="not_negative"):
        await billing.rows("UPDATE credit_balances SET balance = -1 RETURNING 1")


async def _paid(billing: World, **changes: Any) -> tuple[Subscriber, Facts]:
    subscriber = await orders(billing, **changes)
    return subscriber, Facts(await subscriber.pays())


async def _notes(billing: World) -> list[tuple[str, int, str]]:
    found = await _invoices(billing, kind="credit_note")
    return sorted((one["number"], one["total"], one["status"]) for one in found)


async def test_each_refund_has_a_credit_note_until_the_invoice_is_used_up(billing: World) -> None:
    subscriber, facts = await _paid(billing, plan_id="web-small")
    await billing.hear(facts.refunded(333, "re_1"), *copies([facts.refunded(333, "re_1")]))
    await billing.hear(facts.refunded(1067, "re_2"))
    year = billing.clock.now().year
    assert await _notes(billing) == [
        (f"TEST-CN-{year}-000001", 333, "paid"),
        (f"TEST-CN-{year}-000002", 1067, "paid"),
    ]
    documents = await billing.rows("SELECT kind, number, corrects, lines FROM invoices ORDER BY number")
    invoice = next(one for one in documents if one["kind"] == "invoice")
    notes = [one for one in documents if one["kind"] == "credit_note"]
    assert {one["corrects"] for one in notes} == {invoice["number"]}
    for place, line in enumerate(invoice["lines"]):
        for part in ("net", "tax"):
            assert sum(note["lines"][place][part] for note in notes) == line[part]
    told = await billing.published(CreditNoteIssued, subscriber.id)
    assert [(one.invoice, one.total) for one in told] == [(invoice["number"], 333), (invoice["number"], 1067)]


async def test_the_note_of_a_refund_that_failed_is_void_and_its_amount_can_go_back_again(billing: World) -> None:
    _, facts = await _paid(billing)
    await billing.hear(facts.refunded(PRICE, "re_1"), facts.refund_failed(PRICE, "re_1"))
    await billing.hear(facts.refunded(PRICE, "re_2"))
    assert [(total, state) for _, total, state in await _notes(billing)] == [(PRICE, "void"), (PRICE, "paid")]


async def test_a_lost_dispute_has_a_note_until_an_appeal_turns_it(billing: World) -> None:
    _, facts = await _paid(billing)
    await billing.hear(facts.disputed(), facts.closed("lost"))
    assert [(total, state) for _, total, state in await _notes(billing)] == [(PRICE, "paid")]
    await billing.hear(facts.closed("won", after=20))
    assert [(total, state) for _, total, state in await _notes(billing)] == [(PRICE, "void")]


async def test_notes_never_exceed_their_invoice(billing: World) -> None:
    _, facts = await _paid(billing)
    await billing.hear(facts.refunded(500, "re_1"), facts.disputed(), facts.closed("lost"))
    assert [total for _, total, _ in await _notes(billing)] == [500, PRICE - 500]


async def test_a_refund_of_what_has_no_invoice_has_no_note(billing: World) -> None:
    subscriber, _ = await _paid(billing)
    again = subscriber.provider.told(subscriber.provider.pay(subscriber.checkout))
    await billing.hear(
        *copies([again.model_copy(update={"payment_key": "another", "refs": {"payment_intent": "pi_x"}})])
    )
    (second,) = await billing.rows("SELECT id, payment_key FROM payments WHERE state = 'surplus'")
    body = {"reason": "paid twice"}
    await billing.ask("POST", f"/internal/payments/{second['id']}/refund", "admin", json=body)
    assert await _notes(billing) == []
