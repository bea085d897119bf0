"""What the customer reads about their purchase at each point of it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.domain import Coming, Journey, Step, Subscription, Waiting
from gateway.pages.progress import progress_of
from gateway.pages.rendering import money, page

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PAID = Journey(
    "p", status="provisioning", purchase_status="paid", created_at=NOW, paid_at=NOW, amount=4900, currency="USD"
)


def html(journey: Journey) -> str:
    body = page("progress.html", number="0" * 36, progress=progress_of(journey), notice=None).body
    return bytes(body).decode()


@pytest.mark.parametrize(
    ("journey", "words"),
    [
        (Journey("p"), "Waiting for your payment"),
        (Journey("p", purchase_status="expired"), "The payment page has closed"),
        (PAID, "We are building it for you"),
        (replace(PAID, status="failed"), "Your payment is safe"),
        (replace(PAID, status="setup_pending", ready_at=NOW), "choose a password"),
        (replace(PAID, status="active", activated_at=NOW, url="https://ada.example"), "Open it"),
        (replace(PAID, status="suspended"), "It is paused"),
        (replace(PAID, status="deleting"), "It is being removed"),
        (replace(PAID, status="deleted"), "It is gone"),
    ],
)
def test_page_says_how_it_stands(journey: Journey, words: str) -> None:
    assert words in html(journey)


@pytest.mark.parametrize(
    ("subscription", "words", "missing"),
    [
        (Subscription("active", NOW, NOW, NOW), ["Paid until", "cancel it"], ["/pay", "Keep it", "ended"]),
        (Subscription("active", NOW, NOW, NOW, due=900), ["$9.00 can be paid now", "/pay", "cancel it"], ["Keep it"]),
        (
            Subscription("active", NOW, NOW, cancel_at_period_end=True),
            ["and ends then", "Keep it", "End it now", "Cancelled, and ends with what is paid"],
            ["/pay", ">cancel it", "/plan", "/pause"],
        ),
        (Subscription("ended", NOW, NOW), ["(ended)", "Ended"], ["/pay", "/cancel", "Keep it", "/plan", "/card"]),
        (Subscription("active", NOW, NOW, NOW), ["/plan", "/card", "/pause", "End it now"], []),
        (
            Subscription("active", NOW, NOW, NOW, collection="provider"),
            ["/card", ">cancel it"],
            ["/plan", "/pause"],
        ),
        (
            Subscription("active", NOW, NOW, NOW, resumes_at=NOW),
            ["Paused", "Go on now"],
            ["/pause", "/plan"],
        ),
        (Subscription("active"), ["cancel it"], ["/pay", "Paid until"]),
        (None, [], ["/pay", "Paid until", "/cancel", "Keep it"]),
    ],
)
def test_page_says_how_a_subscription_stands(
    subscription: Subscription | None, words: list[str], missing: list[str]
) -> None:
    shown = html(replace(PAID, status="active", activated_at=NOW, subscription=subscription))
    assert [word for word in words if word not in shown] == []
    assert [word for word in missing if word in shown] == []


@pytest.mark.parametrize(
    ("coupon", "coming", "words"),
    [
        (None, None, ["$49.00"]),
        (None, Coming("monthly", 900, 900), ["$9.00 a month"]),
        ("TEN", None, ["TEN, $4.90 less"]),
        ("TEN", Coming("monthly", 900, 900), ["TEN, $4.90 less: $9.00 a month from the next payment on"]),
        ("TEN", Coming("yearly", 810, 900, 1), ["$8.10 for the next payment, then $9.00 a year", "$9.00 a year<"]),
        ("TEN", Coming("monthly", 810, 900, 3), ["$8.10 for the next 3 payments, then $9.00 a month"]),
        ("TEN", Coming("monthly", 810, 900, "always"), ["$8.10 a month, for good"]),
    ],
)
def test_page_says_what_a_coupon_takes_off_and_what_comes_after_it(
    coupon: str | None, coming: Coming | None, words: list[str]
) -> None:
    until = Subscription("active", NOW, NOW, NOW)
    shown = html(replace(PAID, coupon=coupon, discount=490 if coupon else 0, coming=coming, subscription=until))
    assert [word for word in words if word not in shown] == []
    assert ("Next payment" in shown) == (coming is not None)
    assert ("Coupon" in shown) == (coupon is not None)


@pytest.mark.parametrize(
    "reason", ["retry", "not_ready", "capacity", "needs_operator", "needs_customer", "unknown_result"]
)
def test_page_says_what_it_waits_for(reason: str) -> None:
    shown = html(replace(PAID, waiting=Waiting(reason, until=NOW, detail="ECONNREFUSED 10.0.0.7")))
    assert "Waiting:" in shown
    assert ">20 Nov 2026, 12:00 UTC<" in shown
    assert "10.0.0.7" not in shown


def test_steps_are_counted_into_the_progress() -> None:
    progress = progress_of(replace(PAID, steps=(Step("app", status="completed"), Step("health"))))
    assert (progress.done, progress.of) == (3, 6)


def test_what_customers_and_targets_name_is_never_markup_or_script() -> None:
    evil = replace(PAID, status="active", domain="<script>1</script>", url="javascript:alert(1)", steps=(Step("<b>"),))
    shown = html(evil)
    assert "<script>" not in shown
    assert "<b>" not in shown
    assert "javascript:" not in shown


def test_money_has_the_decimals_of_its_currency() -> None:
    assert [money(4900, "USD"), money(4900, "JPY"), money(149900, "INR")] == ["$49.00", "¥4,900", "₹1,499.00"]


def test_policy_lets_no_foreign_script_style_or_form_in() -> None:
    policy = page("message.html", title="t", detail="d", action=None).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
