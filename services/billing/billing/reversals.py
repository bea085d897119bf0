"""What takes money back: refunds and disputes. Their facts come doubled and in any order, or not at all: so providers
are asked about each, with growing pauses, while it may still change."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

DisputeState = Literal["inquiry", "open", "won", "lost", "closed"]

FIRST_LOOK_AT_REFUND = timedelta(hours=1)
MAY_FAIL = timedelta(days=30)  # for so long a bank may send a refund back
FIRST_LOOK_AT_DISPUTE = timedelta(minutes=5)
LONGEST_PAUSE_OF_DISPUTE = timedelta(hours=6)  # an install may be suspended meanwhile


@dataclass(kw_only=True, eq=False)
class Refund:
    """One refund as the provider numbers it. `failed` is final: the money did not leave, whatever arrives later."""

    id: UUID
    provider: str
    refund_id: str
    payment_id: UUID
    amount: int
    currency: str
    failed: bool
    booked_at: datetime
    looks: int = 0
    next_look_at: datetime | None = None  # None: the provider can tell us nothing new

    def plan_look(self, now: datetime) -> None:
        """Each pause is twice the one before, up to one look when the refund can no longer fail."""
        over = self.booked_at + MAY_FAIL
        due = now + _doubled(FIRST_LOOK_AT_REFUND, self.looks)
        self.next_look_at = None if self.failed or now >= over else min(due, over)


@dataclass(kw_only=True, eq=False)
class RefundRequest:
    """A refund that an operator asked for, written before the provider is called. `credit`: so much of what the
    customer's credit had paid is their credit again, at once and whatever becomes of the money."""

    id: UUID
    purchase_id: UUID
    payment_id: UUID
    amount: int
    credit: int = 0
    state: Literal["requested", "sent", "failed"] = "requested"
    refund_id: str | None = None
    requested_at: datetime


@dataclass(kw_only=True, eq=False)
class Dispute:
    id: UUID
    provider: str
    dispute_id: str
    payment_id: UUID
    state: DisputeState
    amount: int
    currency: str
    reason: str | None = None
    deducted: int = 0
    told_at: datetime  # the provider's time of the fact that set this state
    looks: int = 0
    next_look_at: datetime | None = None  # None: it is decided

    def plan_look(self, now: datetime) -> None:
        due = now + min(_doubled(FIRST_LOOK_AT_DISPUTE, self.looks), LONGEST_PAUSE_OF_DISPUTE)
        self.next_look_at = None if self.is_decided else due

    @property
    def is_decided(self) -> bool:
        return self.state in {"won", "lost", "closed"}

    @property
    def holds(self) -> int:
        """What the bank has of the payment: all that is disputed until it is decided, then what it took."""
        return {"open": self.amount, "lost": self.deducted}.get(self.state, 0)


def standing(refunds: Iterable[Refund]) -> int:
    """What went back to the customer and stayed there."""
    return sum(refund.amount for refund in refunds if not refund.failed)


def gone_back(*, paid: int, refunded: int, credited: int, returned: int) -> tuple[int, int]:
    """Of what was paid in all, how much went back: in money, and as credit where credit paid a part. Where all of the
    money went back, all did."""
    if not returned or (paid and refunded >= paid):
        return paid, refunded
    return paid + credited, refunded + returned


def _doubled(first: timedelta, times: int) -> timedelta:
    return first * (1 << min(times, 12))


def next_dispute_state(dispute: Dispute, state: DisputeState, told_at: datetime) -> DisputeState:
    """Facts come in any order: a decision outlasts news from before it, and an open dispute an earlier inquiry.
    Of two decisions the later one holds: an appeal may turn the first."""
    rank = {"inquiry": 0, "open": 1}
    if rank.get(state, 2) < rank.get(dispute.state, 2):
        return dispute.state
    if dispute.is_decided and told_at <= dispute.told_at:
        return dispute.state
    return state
