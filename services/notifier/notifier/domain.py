"""What a message is, to whom it goes, and how its state may change."""

from datetime import datetime, timedelta
from typing import Literal

from keyturn.errors import KeyturnError

State = Literal["pending", "sent", "failed"]
Outcome = Literal["sent", "deferred", "bounced", "unknown"]
Audience = Literal["customer", "operator"]
Template = Literal[
    "setup",
    "sign_in",
    "payment_problem",
    "renewal_due",
    "receipt",
    "credit_note",
    "past_due",
    "charge_failed",
    "suspension_ahead",
    "resumes_soon",
    "plan_changed",
    "plan_refused",
    "suspended",
    "deletion_ahead",
    "ended_unpaid",
    "withdrawn",
    "resumed",
    "install_failed",
    "payment_review",
    "webhook_unreadable",
    "orphan_found",
    "audit_found",
    "canary_failed",
    "erasure_wanted",
    "certificate_expiring",
    "message_failed",
]

AUDIENCE: dict[Template, Audience] = {
    "setup": "customer",
    "sign_in": "customer",
    "payment_problem": "customer",
    "renewal_due": "customer",
    "receipt": "customer",
    "credit_note": "customer",
    "past_due": "customer",
    "charge_failed": "customer",
    "suspension_ahead": "customer",
    "resumes_soon": "customer",
    "plan_changed": "customer",
    "plan_refused": "customer",
    "suspended": "customer",
    "deletion_ahead": "customer",
    "ended_unpaid": "customer",
    "withdrawn": "customer",
    "resumed": "customer",
    "install_failed": "operator",
    "payment_review": "operator",
    "webhook_unreadable": "operator",
    "orphan_found": "operator",
    "audit_found": "operator",
    "canary_failed": "operator",
    "erasure_wanted": "operator",
    "certificate_expiring": "operator",
    "message_failed": "operator",
}

# "It is back" must not be followed by an older "it is suspended".
IN_ORDER: frozenset[Template] = frozenset({"suspended", "resumed"})

NEXT: dict[State, frozenset[State]] = {
    "pending": frozenset({"sent", "failed"}),
    "failed": frozenset({"pending"}),  # an operator had it tried again
    "sent": frozenset(),
}

# Codes of failure that are ours; a mail server's own is its three digits.
LINK_EXPIRED = "link_expired"
SUPERSEDED = "superseded"
GAVE_UP = "gave_up"
ERASED = "erased"
FINAL_CODES = frozenset({LINK_EXPIRED, SUPERSEDED, ERASED})  # a dead link; a customer who was forgotten

# What the metrics say of a code; any other is `other`.
CODE_CLASSES = ("5xx", "bad_address", "address_unsupported", GAVE_UP, LINK_EXPIRED, SUPERSEDED, ERASED, "other")

LONGEST_WAIT = timedelta(minutes=10)


class ImpossibleTransition(KeyturnError):
    """A message cannot go from one state to the other."""

    def __init__(self, current: State, wanted: State) -> None:
        super().__init__(f"a message that is {current} cannot become {wanted}")


def moved(current: State, wanted: State) -> bool:
    """Whether this changes anything; a repeated transition is harmless."""
    if current == wanted:
        return False
    if wanted not in NEXT[current]:
        raise ImpossibleTransition(current, wanted)
    return True


def code_class(code: str) -> str:
    """A mail server's code shortened to its first digit: metrics have few labels."""
    short = f"{code[0]}xx" if code[:3].isdigit() else code
    return short if short in CODE_CLASSES else "other"


def alerts(template: Template, code: str) -> bool:
    """Whether an operator must hear that this message failed. Never of a message to the operator itself: it would fail
    like the first. Nor of a dead link, which a newer mail has replaced; of one to sign in there will be another."""
    return AUDIENCE[template] == "customer" and template != "sign_in" and code not in FINAL_CODES


def next_look(now: datetime, since: datetime) -> datetime:
    """When to look again for a contact that is not known yet: soon at first, later as rarely as every ten minutes."""
    return now + min(max(now - since, timedelta(seconds=1)), LONGEST_WAIT)
