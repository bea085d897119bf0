"""What a journey means to the person who paid: friendly milestones, and what it waits for."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from gateway.domain import Journey, Step
from gateway.pages.rendering import money

State = Literal["done", "current", "todo", "failed"]


@dataclass(frozen=True)
class Milestone:
    title: str
    state: State
    at: datetime | None = None
    note: str | None = None
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Progress:
    headline: str
    lead: str
    mood: Literal["busy", "good", "bad", "quiet"]
    milestones: tuple[Milestone, ...]
    done: int
    of: int
    busy: bool = False
    waits: str | None = None
    until: datetime | None = None
    open_url: str | None = None
    admin_url: str | None = None
    may_ask_for_link: bool = False
    may_pay: bool = False
    plan: str | None = None
    price: str | None = None
    refunded: str | None = None
    domain: str | None = field(default=None)


_WAITS = {
    "retry": "One part did not answer as it should. We try again by ourselves.",
    "not_ready": "One part still needs a moment. We look again by ourselves.",
    "capacity": "All servers are busy. You are next in line.",
    "needs_operator": "Our team has to look at this, and has been told.",
    "needs_customer": "We need something from you. Please look at your mail.",
    "unknown_result": "We are making sure that a part was really built. Our team has been told.",
}

_HEADLINES: dict[str, tuple[str, str, Literal["busy", "good", "bad", "quiet"]]] = {
    "pending": ("Thank you, we have your payment", "We start to build at any moment.", "busy"),
    "provisioning": (
        "We are building it for you",
        "This takes a few minutes. You can close this page and come back.",
        "busy",
    ),
    "failed": (
        "This takes longer than it should",
        "Something went wrong on our side, and our team is on it. Your payment is safe.",
        "bad",
    ),
    "setup_pending": (
        "Almost yours: choose a password",
        "Open the link in the mail that we sent you, and choose a password.",
        "busy",
    ),
    "active": ("It is yours", "Everything is set up and running.", "good"),
    "suspended": ("It is paused", "It cannot be used right now, and nothing is lost.", "bad"),
    "deleting": ("It is being removed", "Your install is on its way out.", "quiet"),
    "deleted": ("It is gone", "Everything of your install has been removed.", "quiet"),
}
_UNPAID: dict[str, tuple[str, str, Literal["busy", "good", "bad", "quiet"]]] = {
    "pending": (
        "Waiting for your payment",
        "As soon as it arrives we start to build. This page shows it at once.",
        "busy",
    ),
    "failed": ("The payment did not work", "You have not been charged. You can try again.", "bad"),
    "expired": ("The payment page has closed", "Nobody paid in time. You can open it again.", "bad"),
}
_BUILDING = ("provisioning", "failed")


def progress_of(journey: Journey) -> Progress:
    paid = journey.paid_at is not None
    unpaid = _UNPAID.get(journey.purchase_status)
    headline, lead, mood = unpaid if unpaid and not paid and journey.status == "pending" else _HEADLINES[journey.status]
    milestones = _milestones(journey)
    waiting = journey.waiting if journey.status in _BUILDING else None
    running = journey.status in ("setup_pending", "active")
    parts: list[Milestone | Step] = [*(m for m in milestones if not m.steps), *journey.steps]
    return Progress(
        headline=headline,
        lead=lead,
        mood=mood,
        milestones=milestones,
        done=sum(_finished(part) for part in parts),
        of=len(parts),
        busy=journey.status in ("pending", "provisioning") and mood == "busy",
        waits=_WAITS.get(waiting.reason, "We go on by ourselves.") if waiting else None,
        until=waiting.until if waiting else None,
        open_url=_safe(journey.url) if running and journey.status == "active" else None,
        admin_url=_safe(journey.admin_url) if journey.status == "active" else None,
        may_ask_for_link=journey.status == "setup_pending",
        may_pay=not paid and unpaid is not None and journey.created_at is not None,
        plan=journey.plan,
        price=money(journey.amount, journey.currency) if journey.amount is not None and journey.currency else None,
        refunded=money(journey.refunded, journey.currency) if journey.refunded and journey.currency else None,
        domain=journey.domain,
    )


def _milestones(journey: Journey) -> tuple[Milestone, ...]:
    ordered = Milestone("Order placed", "done", journey.created_at)
    if journey.paid_at is None and journey.status == "pending":
        dead = journey.purchase_status in ("failed", "expired")
        return (ordered, Milestone("Payment", "failed" if dead else "current"), *_todo("Build", "Setup mail", "Yours"))
    paid = Milestone("Payment confirmed", "done", journey.paid_at)
    return (ordered, paid, _built(journey), _mailed(journey), _yours(journey))


def _built(journey: Journey) -> Milestone:
    if journey.ready_at and journey.status not in _BUILDING:
        return Milestone("Built and checked", "done", journey.ready_at)
    state: State = "failed" if journey.status == "failed" else "current"
    return Milestone("Building", state, steps=journey.steps)


def _mailed(journey: Journey) -> Milestone:
    if journey.mail == "failed":
        note = "The mail did not get through. Have a new link sent, or write to us."
        return Milestone("Setup mail", "failed", note=note)
    if journey.mail == "sent" or journey.activated_at:
        return Milestone("Setup mail sent", "done")
    return Milestone("Setup mail", "current" if journey.status == "setup_pending" else "todo")


def _yours(journey: Journey) -> Milestone:
    if journey.activated_at or journey.status == "active":
        return Milestone("Yours", "done", journey.activated_at)
    asked = journey.status == "setup_pending" and journey.mail == "sent"
    return Milestone("Choose your password", "current" if asked else "todo")


def _todo(*titles: str) -> tuple[Milestone, ...]:
    return tuple(Milestone(title, "todo") for title in titles)


def _finished(part: Milestone | Step) -> bool:
    return part.state == "done" if isinstance(part, Milestone) else part.status == "completed"


def _safe(url: str | None) -> str | None:
    """Only what a link may lead to: never `javascript:`."""
    return url if url and url.startswith(("https://", "http://")) else None
