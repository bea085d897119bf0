"""What a journey means to the person who paid: friendly milestones, and what it waits for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from gateway.domain import Journey, Step, Subscription
from gateway.pages.prices import coupon_of, next_price_of, price_of, standing_of
from gateway.pages.rendering import human, money
from gateway.pages.words import HEADLINES, PART_STATES, PARTS, PAUSED, STARTING, UNPAID, WAITS, Mood

State = Literal["done", "current", "todo", "failed"]


@dataclass(frozen=True)
class Part:
    """One step of the building, in words."""

    title: str
    status: str
    says: str


@dataclass(frozen=True)
class Milestone:
    title: str
    state: State
    at: datetime | None = None
    note: str | None = None
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Progress:
    headline: str
    lead: str
    mood: Mood
    milestones: tuple[Milestone, ...]
    done: int
    of: int
    busy: bool = False
    waits: str | None = None
    paused: tuple[str, ...] = ()
    until: datetime | None = None
    open_url: str | None = None
    admin_url: str | None = None
    may_ask_for_link: bool = False
    may_pay: bool = False
    due: str | None = None
    standing: str | None = None
    paid_from: datetime | None = None
    paid_until: datetime | None = None
    renews_at: datetime | None = None
    charges_at: datetime | None = None
    suspends_at: datetime | None = None
    deletes_at: datetime | None = None
    resumes_at: datetime | None = None
    next_price: str | None = None
    may_change_plan: bool = False
    may_give_card: bool = False
    may_pause: bool = False
    may_resume: bool = False
    may_cancel: bool = False
    may_end_now: bool = False
    may_keep: bool = False
    plan: str | None = None
    price: str | None = None
    coupon: str | None = None
    refunded: str | None = None
    domain: str | None = None


_BUILDING = ("provisioning", "failed")


def progress_of(journey: Journey) -> Progress:
    paid = journey.paid_at is not None
    unpaid = UNPAID.get(journey.purchase_status)
    headline, lead, mood = unpaid if unpaid and not paid and journey.status == "pending" else HEADLINES[journey.status]
    milestones = _milestones(journey)
    waiting = journey.waiting if journey.status in _BUILDING else None
    running = journey.status in ("setup_pending", "active")
    counted: list[Milestone | Step] = [*(m for m in milestones if not m.parts), *journey.steps]
    subscription = journey.subscription or Subscription("none")
    running_on = journey.subscription is not None and subscription.state != "ended"
    ours = running_on and subscription.collection == "keyturn"
    goes_on = not (subscription.cancel_at_period_end or subscription.resumes_at)
    usual = running and ours and subscription.state == "active" and goes_on
    due = money(subscription.due, journey.currency) if subscription.due and journey.currency else None
    return Progress(
        headline=headline,
        lead=lead,
        mood=mood,
        milestones=milestones,
        done=sum(_finished(part) for part in counted),
        of=len(counted),
        busy=journey.status in ("pending", "provisioning") and mood == "busy",
        waits=WAITS.get(waiting.reason, "We go on by ourselves.") if waiting else None,
        until=waiting.until if waiting else None,
        paused=_paused(journey),
        open_url=_safe(journey.url) if running and journey.status == "active" else None,
        admin_url=_safe(journey.admin_url) if journey.status == "active" else None,
        may_ask_for_link=journey.status == "setup_pending",
        may_pay=due is not None or (not paid and unpaid is not None and journey.created_at is not None),
        due=due,
        standing=standing_of(subscription) if journey.subscription else None,
        paid_from=subscription.period_from,
        paid_until=subscription.period_until,
        renews_at=subscription.renews_at,
        charges_at=subscription.charges_at,
        suspends_at=subscription.suspends_at,
        deletes_at=subscription.deletes_at,
        resumes_at=subscription.resumes_at,
        next_price=next_price_of(journey) if subscription.renews_at else None,
        may_change_plan=usual and subscription.period_until is not None,
        may_give_card=running_on,
        may_pause=usual,
        may_resume=running_on and subscription.resumes_at is not None,
        may_cancel=running_on and not subscription.cancel_at_period_end,
        may_end_now=running_on,
        may_keep=running_on and subscription.cancel_at_period_end,
        plan=journey.plan,
        price=price_of(journey),
        coupon=coupon_of(journey),
        refunded=money(journey.refunded, journey.currency) if journey.refunded and journey.currency else None,
        domain=journey.domain,
    )


def _milestones(journey: Journey) -> tuple[Milestone, ...]:
    ordered = Milestone("Order placed", "done", journey.created_at)
    if journey.paid_at is None and journey.status == "pending":
        dead = journey.purchase_status in ("failed", "expired")
        return (
            ordered,
            Milestone("Payment", "failed" if dead else "current"),
            *_todo("Building", "Setup mail", "Choose your password"),
        )
    paid = Milestone("Payment confirmed", "done", journey.paid_at)
    return (ordered, paid, _built(journey), _mailed(journey), _yours(journey))


def _built(journey: Journey) -> Milestone:
    if journey.ready_at and journey.status not in _BUILDING:
        return Milestone("Built and checked", "done", journey.ready_at)
    state: State = "failed" if journey.status == "failed" else "current"
    return Milestone(
        "Building", state, parts=tuple(map(_part, journey.steps)), note=None if journey.steps else STARTING
    )


def _part(step: Step) -> Part:
    return Part(PARTS.get(step.name, human(step.name)), step.status, PART_STATES.get(step.status, human(step.status)))


def _paused(journey: Journey) -> tuple[str, ...]:
    if journey.status != "suspended":
        return ()
    return tuple(dict.fromkeys(PAUSED.get(reason, PAUSED["operator"]) for reason in journey.suspended_for))


def _mailed(journey: Journey) -> Milestone:
    if journey.mail == "failed":
        note = "The mail did not get through. Have a new link sent, or write to us."
        return Milestone("Setup mail", "failed", note=note)
    if journey.mail == "sent" or journey.activated_at:
        return Milestone("Setup mail sent", "done")
    if journey.status == "setup_pending":
        return Milestone("Setup mail", "current", note="On its way to you.")
    return Milestone("Setup mail", "todo")


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
