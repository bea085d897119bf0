"""Whom, which price, through which provider; and lists' cursors."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from billing.buying import fitting, one_spelling, provider_for, valid_email
from billing.pages import cursor_of, place_of
from billing.repository.offers import Offer
from keyturn.errors import Problem


def offer(cycle: str, currency: str) -> Offer:
    return Offer("shop", "basic", 1, uuid4(), cycle, currency, 100)


OFFERS = [offer("one_time", "EUR"), offer("one_time", "INR"), offer("monthly", "USD"), offer("monthly", "INR")]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ("one_time", "EUR")),
        ({"cycle": "monthly"}, ("monthly", "USD")),
        ({"cycle": "One-Time", "currency": "inr"}, ("one_time", "INR")),
        ({"provider": "razorpay"}, ("one_time", "INR")),
        ({"provider": "stripe"}, ("one_time", "EUR")),
        ({"provider": "razorpay", "currency": "USD"}, ("monthly", "USD")),
    ],
)
def test_the_first_price_that_fits_is_taken(asked: dict[str, Any], expected: Any) -> None:
    wanted = {"cycle": None, "currency": None, "provider": None} | asked
    found = fitting(OFFERS, **wanted)
    assert (found.cycle, found.currency) == expected


def test_the_currency_decides_between_providers_unless_one_is_asked_for() -> None:
    both = {"stripe", "razorpay"}
    assert provider_for(None, offer("one_time", "INR"), both) == "razorpay"
    assert provider_for(None, offer("one_time", "EUR"), both) == "stripe"
    assert provider_for("stripe", offer("one_time", "INR"), both) == "stripe"


def test_where_only_one_provider_has_a_key_it_is_taken() -> None:
    assert provider_for(None, offer("one_time", "INR"), {"stripe"}) == "stripe"
    with pytest.raises(Problem, match="razorpay are not set up"):
        provider_for("razorpay", offer("one_time", "INR"), {"stripe"})
    with pytest.raises(Problem):
        provider_for(None, offer("one_time", "EUR"), set())


def test_two_spellings_of_one_address_are_one_customer() -> None:
    assert one_spelling(valid_email("Ada@Example.COM")) == one_spelling(valid_email("ada@example.com"))
    assert one_spelling(valid_email("ada+shop@example.com")) != one_spelling(valid_email("ada@example.com"))


def test_a_cursor_leads_back_to_its_place() -> None:
    at, row = datetime.now(UTC), uuid4()
    assert place_of(cursor_of(at, row)) == (at, row)
    assert place_of(None) is None


@pytest.mark.parametrize("cursor", ["x", "????", "e30", "MjAyNi0xMS0yMXx4"])
def test_a_cursor_of_nobodys_is_refused(cursor: str) -> None:
    with pytest.raises(Problem) as refused:
        place_of(cursor)
    assert refused.value.code == "invalid_cursor"
