"""What credit paid becomes credit again, and what is left of it when nothing runs any more is not lost."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from keyturn.errors import GiveUp
from keyturn.events import CreditLeft, CreditNoteIssued, OperatorActed
from keyturn.internal import Caller
from keyturn.operations import Order, Selection, act
from support.billing import World, at_once, copies
from support.billing_facts import Facts
from support.subscriptions import PRICE, Subscriber, orders, subscribes

pytestmark = pytest.mark.servers
EMAIL = "ada@example.com"
BY_CREDIT = 300


async def _post(billing: World, path: str, **body: Any) -> Any:
    return await billing.ask("POST", f"/internal{path}", "admin", json={"reason": "asked for it"} | body)


async def _give(billing: World, amount: int, email: str = EMAIL) -> None:
    assert (await _post(billing, "/credits", email=email, currency="EUR", amount=amount)).status_code == 201


async def _balance(billing: World, email: str = EMAIL) -> int:
    answer = (await billing.ask("GET", "/internal/credits", "viewer", params={"email": email})).json()
    return sum(one["balance"] for one in answer["balances"])


async def _left(billing: World) -> list[tuple[str, int]]:
    answer = await billing.ask("GET", "/internal/customers", "viewer", params={"credit": "left"})
    return [(one["email"], one["credit_left"]) for one in answer.json()["items"]]


async def _notes(billing: World) -> list[tuple[int, int, str]]:
    """Total, how much of it as credit, and how it stands."""
    rows = await billing.rows("SELECT total, credited, state FROM invoices WHERE kind = 'credit_note' ORDER BY number")
    return [(row["total"], row["credited"], row["state"]) for row in rows]


@pytest.fixture
async def renewed(billing: World) -> tuple[Subscriber, Facts]:
    """The second period, of which credit paid a part."""
    subscriber = await subscribes(billing)
    await _give(billing, BY_CREDIT)
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=6))
    paid = await subscriber.pays(await subscriber.opens_checkout())
    assert paid.amount == PRICE - BY_CREDIT
    return subscriber, Facts(paid)


async def test_a_whole_refund_gives_back_money_and_credit_on_one_note(
    billing: World, renewed: tuple[Subscriber, Facts]
) -> None:
    subscriber, _ = renewed
    answer = await _post(billing, f"/purchases/{subscriber.id}/refund")
    said = answer.json()
    assert (answer.status_code, said["amount"], said["credit"]) == (202, PRICE - BY_CREDIT, BY_CREDIT)
    assert await _balance(billing) == BY_CREDIT
    await billing.work()
    assert await _notes(billing) == [(PRICE, BY_CREDIT, "paid")]
    (told,) = await billing.published(CreditNoteIssued, subscriber.id)
    assert (told.total, told.credited) == (PRICE, BY_CREDIT)
    (acted,) = [one for one in await billing.published(OperatorActed) if one.action == "purchase.refund"]
    assert (acted.after["amount"], acted.after["credit"]) == (PRICE - BY_CREDIT, BY_CREDIT)
    again = await _post(billing, f"/purchases/{subscriber.id}/refund")
    assert again.json()["code"] == "refund_too_large"
    assert await _balance(billing) == BY_CREDIT


async def test_a_webhook_that_is_faster_than_the_answer_gives_nothing_twice(
    billing: World, renewed: tuple[Subscriber, Facts]
) -> None:
    subscriber, facts = renewed
    await _post(billing, f"/purchases/{subscriber.id}/refund")
    told = facts.refunded(PRICE - BY_CREDIT, "re_told")
    await billing.hear(told, *copies([told]))
    assert await _notes(billing) == [(PRICE, BY_CREDIT, "paid")]
    assert await _balance(billing) == BY_CREDIT


async def test_credit_alone_goes_back_at_once_and_no_provider_is_asked(
    billing: World, renewed: tuple[Subscriber, Facts]
) -> None:
    subscriber, _ = renewed
    calls = list(billing.stripe.calls)
    said = (await _post(billing, f"/purchases/{subscriber.id}/refund", amount=0, credit=100)).json()
    assert (said["status"], said["amount"], said["credit"]) == ("sent", 0, 100)
    await billing.work()
    assert billing.stripe.calls == calls
    assert (await _balance(billing), await _notes(billing)) == (100, [(100, 100, "paid")])
    assert (await subscriber.whole())["status"] == "paid"
    too_much = await _post(billing, f"/purchases/{subscriber.id}/refund", amount=0, credit=BY_CREDIT - 99)
    assert (too_much.json()["code"], too_much.json()["left"]) == ("credit_part_too_large", BY_CREDIT - 100)
    nothing = await _post(billing, f"/purchases/{subscriber.id}/refund", amount=0)
    assert nothing.json()["code"] == "refund_too_large"
    await _post(billing, f"/purchases/{subscriber.id}/refund")
    await billing.work()
    assert (await _balance(billing), sum(total for total, *_ in await _notes(billing))) == (BY_CREDIT, PRICE)


async def test_two_operators_at_once_give_the_credit_part_back_once(
    billing: World, renewed: tuple[Subscriber, Facts]
) -> None:
    subscriber, _ = renewed
    path = f"/purchases/{subscriber.id}/refund"
    await at_once(*(_post(billing, path, amount=0, credit=BY_CREDIT) for _ in range(4)))
    assert (await _balance(billing), await _notes(billing)) == (BY_CREDIT, [(BY_CREDIT, BY_CREDIT, "paid")])


async def test_money_alone_leaves_the_credit_part_used(billing: World, renewed: tuple[Subscriber, Facts]) -> None:
    subscriber, _ = renewed
    await _post(billing, f"/purchases/{subscriber.id}/refund", amount=PRICE - BY_CREDIT)
    await billing.work()
    assert (await _balance(billing), await _notes(billing)) == (0, [(PRICE - BY_CREDIT, 0, "paid")])
    assert (await subscriber.whole())["status"] == "refunded"  # all of the money


async def test_a_refund_that_fails_leaves_the_credit_given_with_a_note_of_its_own(
    billing: World, renewed: tuple[Subscriber, Facts]
) -> None:
    subscriber, facts = renewed
    await _post(billing, f"/purchases/{subscriber.id}/refund")
    await billing.work()
    (made,) = await billing.rows("SELECT refund_id FROM refunds")
    failed = facts.refund_failed(PRICE - BY_CREDIT, made["refund_id"])
    await billing.hear(failed, *copies([failed]))
    assert await _notes(billing) == [(PRICE, BY_CREDIT, "void"), (BY_CREDIT, BY_CREDIT, "paid")]
    assert await _balance(billing) == BY_CREDIT


async def test_money_that_cannot_go_leaves_the_credit_given_and_may_go_later(
    billing: World, renewed: tuple[Subscriber, Facts]
) -> None:
    subscriber, _ = renewed
    with billing.stripe.failing(GiveUp("refused")):
        await _post(billing, f"/purchases/{subscriber.id}/refund")
        await billing.work()
    assert await _notes(billing) == [(BY_CREDIT, BY_CREDIT, "paid")]
    assert (await subscriber.whole())["status"] == "paid"
    order = Order("retry", Selection("all"), Caller("ada", "operator"), "the provider is well again")
    assert await act(billing.database, order) == 1
    await billing.work()
    assert await _notes(billing) == [(BY_CREDIT, BY_CREDIT, "paid"), (PRICE - BY_CREDIT, 0, "paid")]
    assert await _balance(billing) == BY_CREDIT


async def test_a_period_that_credit_paid_whole_can_go_back_as_credit(billing: World) -> None:
    subscriber = await subscribes(billing)
    await _give(billing, PRICE)
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=6))
    assert await _balance(billing) == 0
    said = (await _post(billing, f"/purchases/{subscriber.id}/refund")).json()
    assert (said["amount"], said["credit"]) == (0, PRICE)
    assert await _notes(billing) == [(PRICE, PRICE, "paid")]
    assert (await subscriber.whole())["status"] == "refunded"
    assert await _left(billing) == [(EMAIL, PRICE)]  # its subscription ended with that


async def test_credit_that_is_left_is_listed_until_it_is_paid_out(billing: World) -> None:
    subscriber, other = await subscribes(billing), await subscribes(billing)
    await _give(billing, 500)
    await _post(billing, f"/subscriptions/{subscriber.id}/cancel", when="now")
    assert (await _left(billing), await billing.published(CreditLeft)) == ([], [])
    await _post(billing, f"/subscriptions/{other.id}/cancel", when="now")
    assert await _left(billing) == [(EMAIL, 500)]
    (told,) = await billing.published(CreditLeft)
    assert (told.subject, told.amount, told.currency) == (other.id, 500, "EUR")
    customer = (await billing.ask("GET", f"/internal/customers/{told.customer_id}", "viewer")).json()
    assert [(one["balance"], bool(one["left_since"])) for one in customer["credit"]] == [(500, True)]
    part: dict[str, Any] = {"email": EMAIL, "currency": "EUR", "amount": 200, "reference": "T-1"}
    for _ in range(2):
        assert (await _post(billing, "/credits/pay-out", **part)).json()["balances"][0]["balance"] == 300
    assert (await _post(billing, "/credits/pay-out", **part | {"amount": 201})).json()["code"] == "reference_used"
    much = await _post(billing, "/credits/pay-out", **part | {"amount": 301, "reference": "T-2"})
    assert (much.json()["code"], much.json()["balance"]) == ("credit_too_small", 300)
    rest = {"email": EMAIL, "currency": "EUR", "key": "k"}
    await _post(billing, "/credits/forfeit", **rest)
    assert (await _balance(billing), await _left(billing)) == (0, [])
    acts = [one for one in await billing.published(OperatorActed) if one.action in {"credit.pay_out", "credit.forfeit"}]
    assert [(one.action, one.subject, one.after["amount"], one.reason) for one in acts] == [
        ("credit.pay_out", other.id, 200, "asked for it"),
        ("credit.forfeit", other.id, 300, "asked for it"),
    ]
    entries = await billing.rows("SELECT sum(amount) AS sum FROM credits")
    assert entries[0]["sum"] == 0


async def test_the_last_two_that_end_at_once_leave_the_credit_once(billing: World) -> None:
    found = [await subscribes(billing) for _ in range(3)]
    await _give(billing, 500)
    paths = [f"/subscriptions/{one.id}/cancel" for one in found]
    await at_once(*(_post(billing, path, when="now") for path in paths))
    assert (await _left(billing), len(await billing.published(CreditLeft))) == ([(EMAIL, 500)], 1)


async def test_who_subscribes_again_has_nothing_left_over(billing: World) -> None:
    subscriber = await subscribes(billing)
    await _give(billing, 500)
    await _post(billing, f"/subscriptions/{subscriber.id}/cancel", when="now")
    assert await _left(billing) == [(EMAIL, 500)]
    await subscribes(billing)
    assert await _left(billing) == []


async def test_credit_that_comes_back_with_the_end_is_left_over_too(
    billing: World, renewed: tuple[Subscriber, Facts]
) -> None:
    subscriber, _ = renewed
    await _give(billing, 100)
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=6))
    assert await _balance(billing) == 0
    await _post(billing, f"/subscriptions/{subscriber.id}/cancel", when="now")
    assert await _left(billing) == [(EMAIL, 100)]
    assert [one.amount for one in await billing.published(CreditLeft)] == [100]


@pytest.mark.parametrize(
    ("path", "changes", "code"),
    [
        ("pay-out", {"email": "nobody@example.com"}, "customer_unknown"),
        ("pay-out", {"reference": ""}, "invalid_request"),
        ("pay-out", {"amount": 0}, "invalid_request"),
        ("pay-out", {"currency": "USD"}, "credit_too_small"),
        ("forfeit", {"reason": None}, "invalid_request"),
        ("forfeit", {"key": "a\x00b"}, "invalid_request"),
    ],
)
async def test_what_cannot_be_taken_is_refused(billing: World, path: str, changes: dict[str, Any], code: str) -> None:
    await orders(billing)
    await _give(billing, 500)
    body = {"email": EMAIL, "currency": "EUR", "reference": "T-1"} | changes
    assert (await _post(billing, f"/credits/{path}", **body)).json()["code"] == code
    assert await _balance(billing) == 500


async def test_only_an_admin_takes_and_one_transfer_is_of_one_customer(billing: World) -> None:
    await orders(billing)
    await orders(billing, email="bob@example.com")
    for email in (EMAIL, "bob@example.com"):
        await _give(billing, 500, email)
    body = {"email": EMAIL, "currency": "EUR", "reference": "T-1"}
    refused = await billing.ask("POST", "/internal/credits/pay-out", "operator", json=body | {"reason": "x"})
    assert refused.status_code == 403
    assert (await _post(billing, "/credits/pay-out", **body)).status_code == 201
    used = await _post(billing, "/credits/pay-out", **body | {"email": "bob@example.com"})
    assert (used.status_code, used.json()["code"]) == (409, "reference_used")
    assert await _balance(billing, "bob@example.com") == 500


async def test_nobody_is_forgotten_with_credit(billing: World) -> None:
    subscriber = await subscribes(billing)
    await _give(billing, 500)
    (row,) = await billing.rows("SELECT customer_id FROM purchases WHERE id = :id", id=UUID(subscriber.id))
    erase = f"/customers/{row['customer_id']}/erase"
    refused = await _post(billing, erase, end_everything=True)
    assert (refused.status_code, refused.json()["code"]) == (409, "customer_has_credit")
    assert await subscriber.state() == "active"
    await _post(billing, "/credits/forfeit", email=EMAIL, currency="EUR")
    assert (await _post(billing, erase, end_everything=True)).status_code == 202
