"""What refunds and disputes do to an entitlement: a level worked out anew from what stands, so that order is nothing.

The policy is a product's own, in `catalog.yaml`; when a subscription's next period is asked for, too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from billing.domain import PurchaseState
from billing.reversals import Dispute, DisputeState
from keyturn.events import Wanted

Effect = Literal["keep", "suspend", "end"]
Days = Annotated[int, Field(ge=1, le=365)]
DISPUTE = "dispute"  # the reasons that billing gives for a suspension are a closed set
NONPAYMENT = "nonpayment"
PAUSED = "paused"


class Policy(BaseModel):
    """The effect of each event on the entitlement, and how long the data outlives its end. How many days before a
    period's end the next one can be paid; for how many it is waited for before the suspension, and after that before
    the end; and how many days ahead of each that is told at the latest. After how many days a charge that failed is
    tried again, and again. How many days a pause lasts at most: with none there is no pause."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    full_refund: Effect = "end"
    partial_refund: Effect = "keep"
    inquiry: Effect = "keep"
    dispute_opened: Effect = "suspend"
    dispute_won: Effect = "keep"
    dispute_lost: Effect = "end"
    retention_days: int = Field(default=30, ge=0, le=3650)
    renewal_days: int = Field(default=7, ge=0, le=27)  # less than the shortest month
    grace_days: int = Field(default=3, ge=0, le=365)
    suspension_warning_days: int = Field(default=1, ge=0, le=365)
    delete_after_nonpayment_days: int = Field(default=30, ge=1, le=3650)
    retry_days: tuple[Days, ...] = Field(default=(2, 5, 7, 7), max_length=20)
    deletion_warning_days: int = Field(default=7, ge=1, le=365)
    pause_days: int = Field(default=90, ge=0, le=365)

    def of_dispute(self, state: DisputeState) -> Effect:
        effects: dict[DisputeState, Effect] = {
            "inquiry": self.inquiry,
            "open": self.dispute_opened,
            "won": self.dispute_won,
            "closed": self.dispute_won,  # it ended and cost nothing
            "lost": self.dispute_lost,
        }
        return effects[state]


@dataclass(frozen=True)
class Level:
    wanted: Wanted
    reasons: tuple[str, ...] = ()


def level(policy: Policy, *, paid: int, refunded: int, disputes: Iterable[Dispute]) -> Level:
    """What the customer of a paid purchase is entitled to. The harshest effect holds."""
    effects: list[tuple[Effect, str, str]] = [
        (policy.of_dispute(dispute.state), DISPUTE, f"dispute_{dispute.state}") for dispute in disputes
    ]
    if refunded:
        effects.append(
            (policy.full_refund, NONPAYMENT, "refunded")
            if refunded >= paid
            else (policy.partial_refund, NONPAYMENT, "partly_refunded")
        )
    if ended := {why for effect, _, why in effects if effect == "end"}:
        return Level("ended", tuple(sorted(ended)))
    if suspended := {reason for effect, reason, _ in effects if effect == "suspend"}:
        return Level("suspended", tuple(sorted(suspended)))
    return Level("on")


def state_of_paid(*, paid: int, refunded: int, disputes: Iterable[Dispute]) -> PurchaseState:
    """Where a paid purchase stands. A lost dispute took the money back as a refund does."""
    found = list(disputes)
    gone = refunded + sum(dispute.deducted for dispute in found if dispute.state == "lost")
    if paid and gone >= paid:
        return "refunded"
    return "disputed" if any(dispute.state == "open" for dispute in found) else "paid"
