"""A subscription that a provider collects by itself, as it last told us. No framework and no database."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from billing.providers import CollectedStatus, FoundSubscription
from billing.subscriptions import Subscription

BILLED = timedelta(hours=2)  # after a period's end the provider bills, charges, and tells us
LONGEST_PAUSE = timedelta(days=1)
A_MOMENT = timedelta(minutes=1)  # providers count in seconds
GAP = timedelta(days=1)


@dataclass(kw_only=True, eq=False)
class Collected:
    """`told`: the provider knows what we want of it. `cancels`: it ends with its period there."""

    purchase_id: UUID
    provider: str
    provider_id: str
    status: CollectedStatus = "active"
    period_until: datetime | None = None
    cancels: bool = False
    told: bool = True
    looks: int = 0  # since there was something new
    next_look_at: datetime | None = None  # None: it has ended

    def note(self, found: FoundSubscription, now: datetime) -> None:
        new = (found.status, found.period_until) != (self.status, self.period_until)
        self.looks = 0 if new else self.looks + 1
        self.status, self.period_until = found.status, found.period_until
        if found.cancel_at_period_end is not None:
            self.cancels = found.cancel_at_period_end
        self.plan_look(now)

    def plan_look(self, now: datetime) -> None:
        """When its period should have ended, and then with growing pauses while there is nothing new."""
        over = self.period_until + BILLED if self.period_until and self.status == "active" else now
        pause: timedelta = min(BILLED * (1 << min(self.looks, 8)), LONGEST_PAUSE)
        self.next_look_at = None if self.status == "ended" else over if over > now else now + pause


def differences(subscription: Subscription, known: Collected, found: FoundSubscription, *, missed: bool) -> list[str]:
    """Between ours, the provider's as it last told us, and as it is now. `missed`: a payment is recorded nowhere."""
    over, ended = subscription.is_over, found.status == "ended"
    ours = subscription.collection == "provider"
    cancels = found.cancel_at_period_end
    apart = (
        known.told and not over and not ended and cancels is not None and cancels != subscription.cancel_at_period_end
    )
    of = {
        "ended_there": ended and not over and ours,
        "ended_here": over and not ended,
        "status_differs": found.status != known.status and not over and not ended,
        "period_differs": not ended and not _same_moment(known.period_until, found.period_until),
        "cancellation_differs": apart and ours,
        "payment_missed": missed,
    }
    return [name for name, holds in of.items() if holds]


def _same_moment(one: datetime | None, other: datetime | None) -> bool:
    return one == other or (one is not None and other is not None and abs(one - other) < A_MOMENT)


@dataclass(frozen=True)
class Wanted:
    """What is wanted of it: how our own subscription stands. `until`: when the next period is to begin."""

    ends: bool
    at_period_end: bool
    until: datetime | None


def skips(paid_from: datetime | None, ends_at: datetime) -> bool:
    """Whether money is for a later period than the next one: there is some that we have not heard of."""
    return paid_from is not None and paid_from > ends_at + GAP
