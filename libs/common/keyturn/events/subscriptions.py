"""How a recurring purchase goes on. `subject` is the purchase id. Each event says how the subscription stands now."""

from typing import Literal

from pydantic import AwareDatetime

from keyturn.events.envelope import Event
from keyturn.events.purchases import FoundBy


class SubscriptionEvent(Event):
    """The fields of each. `period`, `period_from`, `period_until`: the last one that is paid. `due`: what can be paid
    now, for the next one, in minor units of `currency`. `charges_at`: when that is charged to what the customer saved.
    `suspends_at`, `deletes_at`: what comes next where it is not paid. `resumes_at`: it is paused, until then at
    most. `collection`: who charges the next period. `next_price`: what that costs, `full_price`: without the coupon,
    which counts for `discounted` periods from the next one on; both with the tax that is added."""

    state: Literal["trialing", "active", "past_due", "suspended", "ended"]
    period: int
    period_from: AwareDatetime | None = None
    period_until: AwareDatetime | None = None
    renews_at: AwareDatetime | None = None
    cancel_at_period_end: bool = False
    resumes_at: AwareDatetime | None = None
    due: int | None = None
    currency: str
    charges_at: AwareDatetime | None = None
    suspends_at: AwareDatetime | None = None
    deletes_at: AwareDatetime | None = None
    collection: Literal["keyturn", "provider"] = "keyturn"
    cycle: str | None = None
    next_price: int | None = None
    full_price: int | None = None
    discounted: int | Literal["always"] = 0


class SubscriptionRenewed(SubscriptionEvent, wire="subscription.renewed.v1", publisher="billing"):
    """A period opened: the first when the install was ready, each further one when it was paid. `amount` is what it
    cost; `found_by` says who told of the payment."""

    amount: int
    payment_id: str
    found_by: FoundBy | None = None


class SubscriptionRenewalDue(SubscriptionEvent, wire="subscription.renewal_due.v1", publisher="billing"):
    """The next period can be paid now. `invoice`: the number of its bill."""

    invoice: str | None = None


class SubscriptionPastDue(SubscriptionEvent, wire="subscription.past_due.v1", publisher="billing"):
    """The period ended, and nobody has paid the next one. `suspends_at`: until when that is waited for. `charged`: it
    was charged, and that failed, which has its own event."""

    charged: bool = False
    suspends_at: AwareDatetime


class SubscriptionChargeFailed(SubscriptionEvent, wire="subscription.charge_failed.v1", publisher="billing"):
    """The charge for the next period was declined, with the provider's `code`. `again`: it is tried again at
    `charges_at`, or never where that is null. `customer`: the bank wants the customer to confirm it. `hopeless`: what
    they saved cannot be charged any more."""

    attempt: int
    code: str | None = None
    verdict: Literal["again", "customer", "hopeless"]


class SubscriptionWarned(SubscriptionEvent, wire="subscription.warned.v1", publisher="billing"):
    """The last word before it is suspended, or ends and its install is deleted."""

    consequence: Literal["suspension", "deletion"]


class SubscriptionSuspended(SubscriptionEvent, wire="subscription.suspended.v1", publisher="billing"):
    """Nobody paid in time. A payment takes it up again, until `deletes_at`."""


class SubscriptionCancelled(SubscriptionEvent, wire="subscription.cancelled.v1", publisher="billing"):
    """It is to end with the period that is paid."""


class SubscriptionKept(SubscriptionEvent, wire="subscription.kept.v1", publisher="billing"):
    """It goes on after all: a cancellation was taken back, or the refund that had ended it failed."""


class SubscriptionPaused(SubscriptionEvent, wire="subscription.paused.v1", publisher="billing"):
    """Its customer, or an operator, wants it to rest. What is paid is kept for later."""


class SubscriptionResumesSoon(SubscriptionEvent, wire="subscription.resumes_soon.v1", publisher="billing"):
    """The longest time of a pause is nearly over."""


class SubscriptionResumed(SubscriptionEvent, wire="subscription.resumed.v1", publisher="billing"):
    """The pause is over. `period_until` is later by its time."""


class SubscriptionPlanChanged(SubscriptionEvent, wire="subscription.plan_changed.v1", publisher="billing"):
    """The install has followed. `price` is that of a period from now on; `charged` or `credited`: the difference, for
    the time that is paid. `plan_name`, `previous_plan_name`: for people."""

    plan: str
    plan_name: str | None = None
    previous_plan: str
    previous_plan_name: str | None = None
    price: int
    charged: int = 0
    credited: int = 0


class SubscriptionPlanRefused(SubscriptionEvent, wire="subscription.plan_refused.v1", publisher="billing"):
    """The install has not followed: it keeps its `plan`, and what was paid for the other one goes back.
    `plan_name`, `refused_plan_name`: for people."""

    plan: str
    plan_name: str | None = None
    refused_plan: str
    refused_plan_name: str | None = None
    cause: str
    refund: int = 0


class SubscriptionEnded(SubscriptionEvent, wire="subscription.ended.v1", publisher="billing"):
    """Nothing of it is charged any more. `reversed`: its money went back. `withdrawn`: what was asked for the next
    period, and is not any more."""

    because: Literal["cancelled", "nonpayment", "reversed"]
    withdrawn: int | None = None
