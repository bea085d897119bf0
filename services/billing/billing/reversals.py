"""What takes money back: refunds and disputes. Their facts come doubled and in any order."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

DisputeState = Literal["inquiry", "open", "won", "lost", "closed"]


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


@dataclass(kw_only=True, eq=False)
class RefundRequest:
    """A refund that an operator asked for, written before the provider is called."""

    id: UUID
    purchase_id: UUID
    payment_id: UUID
    amount: int
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


def next_dispute_state(dispute: Dispute, state: DisputeState, told_at: datetime) -> DisputeState:
    """Facts come in any order: a decision outlasts news from before it, and an open dispute an earlier inquiry.
    Of two decisions the later one holds: an appeal may turn the first."""
    rank = {"inquiry": 0, "open": 1}
    if rank.get(state, 2) < rank.get(dispute.state, 2):
        return dispute.state
    if dispute.is_decided and told_at <= dispute.told_at:
        return dispute.state
    return state
