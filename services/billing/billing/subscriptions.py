"""A recurring purchase: its states, its clock, and what that makes of an entitlement. No framework and no database."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from billing import dunning
from billing.calendar import days_after, end_of
from billing.domain import Bill, moves
from billing.policy import NONPAYMENT, PAUSED, Level, Policy

SubscriptionState = Literal["trialing", "active", "past_due", "suspended", "ended"]
Because = Literal["cancelled", "nonpayment", "reversed"]  # reversed: its money went back
Collection = Literal["keyturn", "provider"]
Act = Literal["end", "ask", "fall_behind", "warn", "suspend", "give_up", "wake"]

NEXT: Mapping[str, frozenset[str]] = {
    "trialing": frozenset({"active", "past_due", "ended"}),
    "active": frozenset({"past_due", "ended"}),
    "past_due": frozenset({"active", "suspended", "ended"}),
    "suspended": frozenset({"active", "ended"}),
    "ended": frozenset({"active"}),  # the refund failed
}


@dataclass(kw_only=True, eq=False)
class Subscription:
    """`number`, `starts_at`, `ends_at`: of the last period that is paid; there is none until the install is ready."""

    purchase_id: UUID
    state: SubscriptionState = "active"
    state_since: datetime
    began_at: datetime
    cycle: str
    plan: str
    price_id: UUID
    price: int  # of a period, before any discount
    collection: Collection = "keyturn"  # who charges the next period: one of the two alone
    zone: str | None
    anchor: datetime | None = None  # whose day and time of day all ends have
    number: int = 0
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    held_since: datetime | None = None  # its clock stands still: who is suspended is not charged for the time
    cancel_at_period_end: bool = False
    resumes_at: datetime | None = None  # it is paused, until then at most
    resume_told: bool = False  # that it resumes soon
    ended_because: Because | None = None
    consequence_at: datetime | None = None  # of not being paid: past due, it is suspended; suspended, it ends
    warned: bool = False  # of that, for the last time
    next_step_at: datetime | None = None  # None: nothing happens by itself

    def move_to(self, state: SubscriptionState, now: datetime) -> bool:
        if not moves("subscription", NEXT, self.state, state):
            return False
        self.state, self.state_since = state, now
        self.consequence_at, self.warned = None, False
        return True

    def fall(self, state: Literal["past_due", "suspended"], policy: Policy, now: datetime) -> None:
        """Its event says what comes next. Where that is soon, it is the warning."""
        self.move_to(state, now)
        wait, ahead = dunning.wait(policy, state), dunning.ahead(policy, state)
        self.consequence_at, self.warned = now + wait, not timedelta() < ahead < wait

    def warn(self, policy: Policy, now: datetime) -> None:
        """Where this comes late, so does the consequence."""
        assert self.consequence_at
        self.consequence_at, self.warned = max(self.consequence_at, now + dunning.ahead(policy, self.state)), True

    def open_period(self, start: datetime, until: datetime | None = None) -> None:
        """The next one, from the end of the one before, whenever it was paid. `until`: where a provider says so."""
        self.starts_at = self.ends_at or start
        self.anchor = self.anchor or self.starts_at
        self.ends_at = until or end_of(self.starts_at, self.cycle, self.anchor, self.zone)
        self.number += 1

    def open_trial(self, start: datetime, days: int) -> None:
        """The first period. The paid ones have the day of its end."""
        self.starts_at = start
        self.anchor = self.ends_at = days_after(start, days, self.zone)
        self.number = 1

    def hold(self, now: datetime) -> None:
        self.held_since = self.held_since or now

    def pause(self, now: datetime, days: int) -> None:
        self.resumes_at, self.resume_told = now + timedelta(days=days), False

    def release(self, now: datetime) -> None:
        """What is paid lasts longer by the time for which it could not be used. Nothing was paid for the time before
        the first period; one that was paid early may begin later than now."""
        if self.held_since and self.starts_at and self.ends_at:
            since = max(self.held_since, self.starts_at) if self.number == 1 else self.held_since
            self.anchor = self.ends_at = self.ends_at + (now - since)
            if self.state == "past_due" and self.ends_at > now:
                self.move_to("active", now)
            elif self.consequence_at:
                self.consequence_at += now - self.held_since
        self.held_since = None

    def put_off(self, since: datetime, now: datetime) -> None:
        """What follows of not being paid: since then it could have been charged, and was not."""
        if self.consequence_at:
            self.consequence_at += now - max(since, self.state_since)

    @property
    def is_over(self) -> bool:
        return self.state == "ended"

    @property
    def renews_at(self) -> datetime | None:
        return None if self.is_over or self.cancel_at_period_end else self.ends_at

    def next_step(self, policy: Policy, *, asked: bool, charge_at: datetime | None = None) -> datetime | None:
        """When something is to happen by itself. `asked`: the next period can be paid; `charge_at`: it is charged."""
        step = self._next_step(policy, asked=asked)
        return min(step, charge_at) if step and charge_at else step

    def _next_step(self, policy: Policy, *, asked: bool) -> datetime | None:
        if self.ends_at is None or self.is_over:
            return None
        if self.resumes_at:
            return self.resumes_at - timedelta(days=0 if self.resume_told else policy.renewal_days)
        if self.held_since and self.state != "suspended":
            return None
        if self.consequence_at:
            early = timedelta() if self.warned else dunning.ahead(policy, self.state) + dunning.EARLY
            return self.consequence_at - early
        if self.collection == "provider":
            return None
        ahead = 0 if asked or self.cancel_at_period_end else policy.renewal_days
        return self.ends_at - timedelta(days=ahead)

    def next_act(self, *, asked: bool) -> Act:
        """What is to happen then, unless it is charged first."""
        if self.resumes_at:
            return "wake"
        if self.consequence_at:
            return "warn" if not self.warned else "suspend" if self.state == "past_due" else "give_up"
        if self.cancel_at_period_end:
            return "end"
        return "fall_behind" if asked else "ask"


@dataclass(kw_only=True, eq=False)
class Renewal:
    """What the customer is asked to pay for one further period. Void: no longer asked for."""

    purchase_id: UUID
    number: int
    price_id: UUID
    amount: int = 0
    discount: int = 0  # taken off already
    setup_fee: int = 0  # as much of the amount
    tax_added: int = 0  # as much of the amount
    credited: int = 0  # paid by the customer's credit already
    currency: str
    state: Literal["open", "paid", "void"] = "open"
    opened_at: datetime
    attempts: int = 0  # to charge it
    charge_at: datetime | None = None  # the next one

    def is_charged(self, now: datetime) -> bool:
        return self.charge_at is not None and self.charge_at <= now

    def put_off(self, by: timedelta, end: datetime, new_end: datetime) -> None:
        """The clock stood still. What was to be charged with the period's end is, whenever that is now."""
        if self.charge_at:
            self.charge_at = new_end if self.charge_at == end else self.charge_at + by

    @property
    def bill(self) -> Bill:
        bill = Bill(self.number, self.amount, self.discount, self.setup_fee, self.tax_added, self.credited)
        return replace(bill, price_id=self.price_id)


@dataclass(kw_only=True, eq=False)
class Period:
    """One paid span. `price`: what its plan of now costs, less any discount, without tax and set-up fee. It may end
    later than it `lasts`, where the clock stood still."""

    purchase_id: UUID
    number: int
    starts_at: datetime
    ends_at: datetime
    lasts: timedelta
    price: int
    payment_id: UUID
    opened_at: datetime


def with_subscription(of_money: Level, subscription: Subscription | None) -> Level:
    """What refunds and disputes leave, and what the subscription leaves of that."""
    if subscription is None or of_money.wanted == "ended":
        return of_money
    if subscription.ended_because in {"cancelled", NONPAYMENT}:
        return Level("ended", (str(subscription.ended_because),))
    own = {NONPAYMENT} if subscription.state == "suspended" else {PAUSED} if subscription.resumes_at else set()
    return Level("suspended", tuple(sorted({*of_money.reasons, *own}))) if own else of_money
