"""Every event of Keyturn. Needs pydantic alone: a downstream subscriber installs `keyturn` and imports this.

Read one with `read(body)`: it gives the typed event, or an `Envelope` where the type is newer than this library.
"""

from keyturn.events.entitlements import EntitlementChanged, Wanted
from keyturn.events.envelope import CONTENT_TYPE, Envelope, Event, Unreadable, derived_id, uuid7
from keyturn.events.installs import (
    Gone,
    InstallActivated,
    InstallDeleted,
    InstallFailed,
    InstallPlanChanged,
    InstallReady,
    InstallRequested,
    InstallResumed,
    InstallStepChanged,
    InstallSuspended,
    InstallWaiting,
    OrphanFound,
    SetupLinkIssued,
)
from keyturn.events.messages import MessageFailed, MessageSent, SetupLinkUnsent
from keyturn.events.operators import OperatorActed
from keyturn.events.payments import (
    CheckoutExpired,
    DisputeClosed,
    FraudWarned,
    PaymentActionRequired,
    PaymentCaptured,
    PaymentDisputed,
    PaymentFailed,
    PaymentRefunded,
    Provider,
    ProviderFact,
    RefundFailed,
    WebhookUnreadable,
)
from keyturn.events.purchases import (
    Contact,
    FoundBy,
    PaymentNeedsReview,
    PurchaseDisputed,
    PurchaseExpired,
    PurchaseFailed,
    PurchaseOpened,
    PurchasePaid,
    PurchaseRefunded,
)
from keyturn.events.sealed import Sealed

EVENTS: tuple[type[Event], ...] = (
    PaymentCaptured,
    PaymentFailed,
    PaymentActionRequired,
    PaymentRefunded,
    RefundFailed,
    PaymentDisputed,
    DisputeClosed,
    FraudWarned,
    CheckoutExpired,
    WebhookUnreadable,
    PurchaseOpened,
    PurchasePaid,
    PurchaseFailed,
    PurchaseExpired,
    PurchaseRefunded,
    PurchaseDisputed,
    PaymentNeedsReview,
    EntitlementChanged,
    InstallRequested,
    InstallStepChanged,
    InstallWaiting,
    InstallReady,
    InstallFailed,
    InstallActivated,
    InstallSuspended,
    InstallResumed,
    InstallPlanChanged,
    InstallDeleted,
    SetupLinkIssued,
    OrphanFound,
    MessageSent,
    MessageFailed,
    SetupLinkUnsent,
    OperatorActed,
)
BY_WIRE: dict[str, type[Event]] = {event.wire: event for event in EVENTS}


def read(body: bytes) -> Event | Envelope:
    """The typed event in these bytes, or the bare `Envelope` of a type unknown here. Raises `Unreadable`."""
    envelope = Envelope.from_bytes(body)
    kind = BY_WIRE.get(envelope.type)
    return envelope.open(kind) if kind else envelope


__all__ = [
    "BY_WIRE",
    "CONTENT_TYPE",
    "EVENTS",
    "CheckoutExpired",
    "Contact",
    "DisputeClosed",
    "EntitlementChanged",
    "Envelope",
    "Event",
    "FoundBy",
    "FraudWarned",
    "Gone",
    "InstallActivated",
    "InstallDeleted",
    "InstallFailed",
    "InstallPlanChanged",
    "InstallReady",
    "InstallRequested",
    "InstallResumed",
    "InstallStepChanged",
    "InstallSuspended",
    "InstallWaiting",
    "MessageFailed",
    "MessageSent",
    "OperatorActed",
    "OrphanFound",
    "PaymentActionRequired",
    "PaymentCaptured",
    "PaymentDisputed",
    "PaymentFailed",
    "PaymentNeedsReview",
    "PaymentRefunded",
    "Provider",
    "ProviderFact",
    "PurchaseDisputed",
    "PurchaseExpired",
    "PurchaseFailed",
    "PurchaseOpened",
    "PurchasePaid",
    "PurchaseRefunded",
    "RefundFailed",
    "Sealed",
    "SetupLinkIssued",
    "SetupLinkUnsent",
    "Unreadable",
    "Wanted",
    "WebhookUnreadable",
    "derived_id",
    "read",
    "uuid7",
]
