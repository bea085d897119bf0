"""What a driver's failure means for a step: when it goes on, or that it does not."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from keyturn.retry import RetryPolicy
from provisioner.engine.pace import LeftAlone
from provisioner.engine.telling import safe
from provisioner.records import Step, WaitReason
from provisioner.resources.port import (
    Capacity,
    DriverError,
    NeedsCustomer,
    NeedsOperator,
    NotReady,
    Transient,
    UnknownResult,
)

SHORTEST = timedelta(milliseconds=200)


@dataclass(frozen=True)
class Outcome:
    """`reason` None: it has failed for good. `due` None with a reason: parked until somebody acts."""

    reason: WaitReason | None
    due: datetime | None
    detail: str
    counts: bool = True


def judge(  # noqa: PLR0911 - one for each thing that a driver may say
    error: DriverError, step: Step, *, now: datetime, retry: RetryPolicy, patience: timedelta, capacity: timedelta
) -> Outcome:
    detail = safe(error)
    match error:
        case LeftAlone():
            return Outcome("retry", now + (error.retry_after or SHORTEST), detail, counts=False)
        case Transient() if step.attempts < retry.attempts:
            after = retry.delay(step.attempts) if error.retry_after is None else error.retry_after
            return Outcome("retry", now + max(after, SHORTEST), detail)
        case NotReady() if (waited := now - (step.waiting_since or now)) < patience:
            # At first again after as long as it has waited already: most are ready in a moment.
            return Outcome("not_ready", now + max(min(error.after, waited), SHORTEST), detail, counts=False)
        case Capacity():
            return Outcome("capacity", now + capacity, detail, counts=False)
        case NeedsOperator():
            return Outcome("needs_operator", None, detail, counts=False)
        case NeedsCustomer():
            return Outcome("needs_customer", None, detail, counts=False)
        case UnknownResult():
            return Outcome("unknown_result", None, detail, counts=False)
    return Outcome(None, None, detail)
