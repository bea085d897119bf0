"""The rules about states, money and entitlements, without a database."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain import (
    NEXT_OF_CHECKOUT,
    NEXT_OF_PAYMENT,
    NEXT_OF_PURCHASE,
    Bill,
    Checkout,
    MoneyFact,
    Payment,
    Purchase,
    Verdict,
    judge,
)
from billing.errors import ImpossibleTransition
from billing.policy import Level, Policy, level, state_of_paid
from billing.reconcile import GRACE, LATE, next_look
from billing.reversals import Dispute, Refund, next_dispute_state, standing

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def purchase(**changes: Any) -> Purchase:
    values: dict[str, Any] = {
        "id": UUID(int=1),
        "customer_id": uuid4(),
        "product": "shop",
        "plan": "basic",
        "price_id": uuid4(),
        "cycle": "one_time",
        "amount": 4900,
        "currency": "EUR",
        "provider": "stripe",
        "livemode": False,
        "contact": {},
        "parameters": {},
        "success_url": "",
        "cancel_url": "",
        "request_hash": "",
        "opened_at": NOW,
        "expires_at": NOW,
        "state_since": NOW,
    }
    return Purchase(**values | changes)


def refund(amount: int, *, failed: bool = False) -> Refund:
    return Refund(
        id=uuid4(),
        provider="stripe",
        refund_id="re",
        payment_id=uuid4(),
        amount=amount,
        currency="EUR",
        failed=failed,
        booked_at=NOW,
    )


def dispute(state: Any, *, deducted: int = 0, told_at: datetime = NOW) -> Dispute:
    return Dispute(
        id=uuid4(),
        provider="stripe",
        dispute_id="dp",
        payment_id=uuid4(),
        state=state,
        amount=4900,
        currency="EUR",
        deducted=deducted,
        told_at=told_at,
    )


@pytest.mark.parametrize("state", NEXT_OF_PURCHASE)
@pytest.mark.parametrize("wanted", NEXT_OF_PURCHASE)
def test_a_purchase_moves_only_as_the_table_says(state: Any, wanted: Any) -> None:
    moved = purchase(state=state)
    later = NOW + timedelta(hours=1)
    if state == wanted:
        assert moved.move_to(wanted, later) is False
        assert moved.state_since == NOW
    elif wanted in NEXT_OF_PURCHASE[state]:
        assert moved.move_to(wanted, later) is True
        assert (moved.state, moved.state_since) == (wanted, later)
    else:
        with pytest.raises(ImpossibleTransition, match=f"{state} cannot become {wanted}"):
            moved.move_to(wanted, later)
        assert moved.state == state


def test_every_state_leads_to_states_that_exist() -> None:
    for table in (NEXT_OF_PURCHASE, NEXT_OF_CHECKOUT, NEXT_OF_PAYMENT):
        assert {following for states in table.values() for following in states} <= set(table)


def test_late_money_is_money() -> None:
    assert purchase(state="expired").move_to("paid", NOW)
    assert purchase(state="failed").move_to("paid", NOW)


def fact(**changes: Any) -> MoneyFact:
    values: dict[str, Any] = {"payment_key": "cs", "amount": 4900, "currency": "EUR", "livemode": False}
    return MoneyFact(**{"provider": "stripe", **values, **changes})


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict("matched")),
        ({"livemode": None}, Verdict("matched")),
        ({"livemode": True}, Verdict("review", "mode")),
        ({"currency": "USD"}, Verdict("review", "currency")),
        ({"amount": 4899}, Verdict("review", "amount")),
        ({"amount": 4901}, Verdict("review", "amount")),
        ({"provider": "razorpay"}, Verdict("review", "purchase")),
        ({"provider": "operator"}, Verdict("matched")),
    ],
)
def test_money_is_compared_with_our_own_record(changes: dict[str, Any], verdict: Verdict) -> None:
    assert judge(fact(**changes), purchase(), Bill(1, 4900), named=UUID(int=1)) == verdict


def test_money_that_fits_a_paid_purchase_is_surplus() -> None:
    assert judge(fact(), purchase(), Bill(1, 4900, paid=True), named=None) == Verdict("surplus")


def test_money_that_names_another_purchase_is_for_an_operator() -> None:
    assert judge(fact(), purchase(), Bill(1, 4900, paid=True), named=UUID(int=2)) == Verdict("review", "purchase")


def payment(**changes: Any) -> Payment:
    values: dict[str, Any] = {"provider": "stripe", "payment_key": "cs", "amount": 1, "currency": "EUR"}
    values |= {"livemode": None, "state": "review", "found_by": "webhook", "refs": {}, "recorded_at": NOW}
    return Payment(id=uuid4(), **values | changes)


def test_only_what_nobody_could_place_may_be_placed_by_a_later_fact() -> None:
    assert payment(review_reason="unknown_purchase").may_be_placed_again
    assert payment(state="foreign").may_be_placed_again
    assert not payment(review_reason="amount").may_be_placed_again
    assert not payment(state="matched").may_be_placed_again


amounts = st.lists(st.tuples(st.integers(1, 10**9), st.booleans()), max_size=20)


@given(amounts)
def test_the_sum_is_of_refunds_that_stand(told: list[tuple[int, bool]]) -> None:
    refunds = [refund(amount, failed=failed) for amount, failed in told]
    assert standing(refunds) == sum(amount for amount, failed in told if not failed)
    assert standing(refunds) == standing(reversed(refunds))


@given(paid=st.integers(1, 10**6), told=amounts)
def test_a_purchase_is_refunded_exactly_when_all_of_it_went_back(paid: int, told: list[tuple[int, bool]]) -> None:
    gone = standing(refund(amount, failed=failed) for amount, failed in told)
    state = state_of_paid(paid=paid, refunded=gone, disputes=[])
    assert (state == "refunded") == (gone >= paid)
    assert (level(Policy(), paid=paid, refunded=gone, disputes=[]).wanted == "ended") == (gone >= paid)


def test_what_cost_nothing_is_never_refunded() -> None:
    assert state_of_paid(paid=0, refunded=0, disputes=[]) == "paid"
    assert level(Policy(), paid=0, refunded=0, disputes=[]) == Level("on")


def test_a_lost_dispute_takes_the_money_back_as_a_refund_does() -> None:
    lost = dispute("lost", deducted=4900)
    assert state_of_paid(paid=4900, refunded=0, disputes=[lost]) == "refunded"
    assert state_of_paid(paid=4900, refunded=0, disputes=[dispute("lost", deducted=100)]) == "paid"


def test_one_open_dispute_among_decided_ones_is_a_dispute() -> None:
    found = [dispute("won"), dispute("open"), dispute("inquiry")]
    assert state_of_paid(paid=4900, refunded=0, disputes=found) == "disputed"


@pytest.mark.parametrize(
    ("policy", "refunded", "states", "expected"),
    [
        ({}, 0, [], Level("on")),
        ({}, 100, [], Level("on")),
        ({}, 4900, [], Level("ended", ("refunded",))),
        ({}, 0, ["inquiry"], Level("on")),
        ({}, 0, ["open"], Level("suspended", ("dispute",))),
        ({}, 0, ["won", "closed"], Level("on")),
        ({}, 0, ["lost"], Level("ended", ("dispute_lost",))),
        ({}, 4900, ["open"], Level("ended", ("refunded",))),
        ({"full_refund": "suspend"}, 4900, [], Level("suspended", ("nonpayment",))),
        ({"full_refund": "suspend"}, 4900, ["open"], Level("suspended", ("dispute", "nonpayment"))),
        ({"full_refund": "keep", "dispute_opened": "keep"}, 4900, ["open"], Level("on")),
        ({"partial_refund": "end"}, 1, [], Level("ended", ("partly_refunded",))),
        ({"inquiry": "suspend"}, 0, ["inquiry", "open"], Level("suspended", ("dispute",))),
    ],
)
def test_the_products_policy_decides_what_follows(
    policy: dict[str, Any], refunded: int, states: list[str], expected: Any
) -> None:
    disputes = [dispute(state) for state in states]
    assert level(Policy(**policy), paid=4900, refunded=refunded, disputes=disputes) == expected


def settled(told: Any) -> str:
    found: Dispute | None = None
    for state, minutes in told:
        at = NOW + timedelta(minutes=minutes)
        if found is None:
            found = dispute(state, told_at=at)
        elif next_dispute_state(found, state, at) == state:
            found.state, found.told_at = state, at
    assert found
    return found.state


@pytest.mark.parametrize("decision", ["won", "lost", "closed"])
def test_facts_of_a_dispute_end_alike_in_any_order(decision: str) -> None:
    told = [("inquiry", 0), ("open", 1), ("open", 2), (decision, 3)]
    assert {settled(order) for order in permutations(told)} == {decision}


def test_of_two_decisions_the_later_one_holds() -> None:
    assert {settled(order) for order in permutations([("lost", 3), ("won", 9), ("open", 1)])} == {"won"}


def looked(times: int, expires_at: datetime) -> Checkout:
    return Checkout(
        id=uuid4(),
        purchase_id=uuid4(),
        attempt=1,
        period=1,
        amount=4900,
        provider="stripe",
        state="open",
        opened_at=NOW,
        expires_at=expires_at,
        looks=times,
    )


@given(looks=st.integers(0, 1000), minutes=st.integers(0, 60 * 24 * 7))
def test_a_next_look_is_always_ahead_and_in_the_end_there_is_none(looks: int, minutes: int) -> None:
    now = NOW + timedelta(minutes=minutes)
    end = NOW + timedelta(hours=23)
    due = next_look(looked(looks, end), now)
    assert due is None or now < due < end + LATE
    if now < end + GRACE:
        assert due is not None
        assert due <= end + GRACE
    if now >= end + LATE:
        assert due is None
