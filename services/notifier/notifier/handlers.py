"""What the notifier hears, and what it does about it. The table of contents is at the end."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from keyturn import erasing
from keyturn.database import Transaction
from keyturn.events import (
    AuditFound,
    CanaryFailed,
    CertificateExpiring,
    CreditNoteIssued,
    CustomerErased,
    CustomerErasureWanted,
    EntitlementChanged,
    Event,
    InstallFailed,
    InstallResumed,
    InstallSuspended,
    InvoicePaid,
    OrphanFound,
    PaymentNeedsReview,
    PurchaseFailed,
    PurchaseOpened,
    SetupLinkIssued,
    SubscriptionChargeFailed,
    SubscriptionEnded,
    SubscriptionPastDue,
    SubscriptionPlanChanged,
    SubscriptionPlanRefused,
    SubscriptionRenewalDue,
    SubscriptionResumesSoon,
    SubscriptionSuspended,
    SubscriptionWarned,
    WebhookUnreadable,
)
from keyturn.events.subscriptions import SubscriptionEvent
from keyturn.handling import Handlers
from keyturn.work import WorkKind
from notifier import repository
from notifier.deps import NotifierDeps
from notifier.domain import Template
from notifier.erasing import erase
from notifier.sending import MAIL, mail_died, send_mail
from notifier.sending import RETRY as MAIL_RETRY


async def on_purchase_opened(event: PurchaseOpened, tx: Transaction) -> None:
    await repository.save_order(tx, event)
    await _contact_known(event, tx)


async def on_entitlement_changed(event: EntitlementChanged, tx: Transaction) -> None:
    await repository.save_contact(tx, event)
    await _contact_known(event, tx)


async def on_setup_link_issued(event: SetupLinkIssued, tx: Transaction) -> None:
    """An older mail that is still unsent finds out that this link is newer when its turn comes."""
    await _tell(
        event,
        tx,
        "setup",
        event.link_id,
        details={"url": event.url, "link_id": event.link_id},
        token=event.token.ciphertext,
        credentials=event.credentials.ciphertext if event.credentials else None,
        link_number=event.number,
        expires_at=event.expires_at,
    )


async def on_purchase_failed(event: PurchaseFailed, tx: Transaction) -> None:
    """Published once, when the checkout can no longer be paid: one mail, however many attempts were declined."""
    await _tell(event, tx, "payment_problem", event.subject, details={})


async def on_renewal_due(event: SubscriptionRenewalDue, tx: Transaction) -> None:
    """One mail a period, also where it was taken back and asked for again."""
    details = _facts(event, "state", "due", "currency", "period_until", "charges_at", "invoice")
    await _tell(event, tx, "renewal_due", f"{event.subject}/{event.period + 1}", details=details)


async def on_invoice_paid(event: InvoicePaid, tx: Transaction) -> None:
    """That it was to be paid the mail about the renewal has said."""
    await _tell(event, tx, "receipt", event.number, details=_facts(event, "number", "total", "due", "currency"))


async def on_credit_note_issued(event: CreditNoteIssued, tx: Transaction) -> None:
    details = _facts(event, "number", "invoice", "total", "credited", "currency")
    await _tell(event, tx, "credit_note", event.number, details=details)


async def on_past_due(event: SubscriptionPastDue, tx: Transaction) -> None:
    """Of a charge that failed there is a mail of its own."""
    details = _missing(event) | _facts(event, "period_until", "suspends_at", "collection")
    if not event.charged:
        await _tell(event, tx, "past_due", f"{event.subject}/{event.period + 1}", details=details)


async def on_charge_failed(event: SubscriptionChargeFailed, tx: Transaction) -> None:
    fields = "due", "currency", "period_until", "verdict", "charges_at", "suspends_at", "deletes_at"
    fact = f"{event.subject}/{event.period + 1}/{event.attempt}"
    await _tell(event, tx, "charge_failed", fact, details=_facts(event, *fields))


async def on_warned(event: SubscriptionWarned, tx: Transaction) -> None:
    template: Template = "suspension_ahead" if event.consequence == "suspension" else "deletion_ahead"
    details = _missing(event) | _facts(event, "period_until", "suspends_at", "deletes_at")
    await _tell(event, tx, template, f"{event.subject}/{event.period + 1}", details=details)


async def on_subscription_suspended(event: SubscriptionSuspended, tx: Transaction) -> None:
    """The mail is sent once the install has stopped; by then it is to say until when the data is kept."""
    await repository.save_deletion(tx, UUID(event.subject), event.deletes_at)


async def on_subscription_ended(event: SubscriptionEnded, tx: Transaction) -> None:
    template: Template = "ended_unpaid" if event.because == "nonpayment" else "withdrawn"
    if event.withdrawn and event.because != "reversed":
        details = _facts(event, "withdrawn", "currency", "period_until")
        await _tell(event, tx, template, f"{event.subject}/{event.period + 1}", details=details)


async def on_resumes_soon(event: SubscriptionResumesSoon, tx: Transaction) -> None:
    fact = f"{event.subject}/{event.resumes_at}"
    await _tell(event, tx, "resumes_soon", fact, details=_facts(event, "resumes_at"))


async def on_plan_changed(event: SubscriptionPlanChanged, tx: Transaction) -> None:
    names = {"plan": event.plan_name or event.plan, "previous_plan": event.previous_plan_name or event.previous_plan}
    facts = _facts(event, "time", "charged", "credited", "currency", "renews_at", "next_price")
    await _tell(event, tx, "plan_changed", str(event.id), details=facts | names)


async def on_plan_refused(event: SubscriptionPlanRefused, tx: Transaction) -> None:
    names = {"plan": event.plan_name or event.plan, "refused_plan": event.refused_plan_name or event.refused_plan}
    await _tell(event, tx, "plan_refused", str(event.id), details=_facts(event, "refund", "currency") | names)


async def on_install_suspended(event: InstallSuspended, tx: Transaction) -> None:
    deletes_at = await repository.deletion(tx, UUID(event.subject)) if "nonpayment" in event.reasons else None
    details = _facts(event, "reasons") | {"deletes_at": deletes_at.isoformat() if deletes_at else None}
    await _tell(event, tx, "suspended", event.job_id, details=details)


async def on_install_resumed(event: InstallResumed, tx: Transaction) -> None:
    await repository.save_deletion(tx, UUID(event.subject), None)
    await _tell(event, tx, "resumed", event.job_id, details=_facts(event, "url"))


async def on_install_failed(event: InstallFailed, tx: Transaction) -> None:
    details = _facts(event, "job_id", "action", "step", "cause", "message", "attempts")
    await _tell(event, tx, "install_failed", event.job_id, details=details)


async def on_payment_needs_review(event: PaymentNeedsReview, tx: Transaction) -> None:
    """One mail a payment; another where what was in review turns out to be a second payment."""
    fields = "payment_id", "provider", "payment_key", "reason", "amount", "currency"
    details = _facts(event, *fields, "expected_amount", "expected_currency")
    fact = f"{event.payment_id}/surplus" if event.reason == "surplus" else event.payment_id
    await _tell(event, tx, "payment_review", fact, details=details)


async def on_webhook_unreadable(event: WebhookUnreadable, tx: Transaction) -> None:
    details = _facts(event, "provider", "webhook_id", "provider_type", "cause")
    await _tell(event, tx, "webhook_unreadable", event.webhook_id, details=details)


async def on_orphan_found(event: OrphanFound, tx: Transaction) -> None:
    """Found again at every try to remove it; told once."""
    details = _facts(event, "resource", "kind", "target", "cause", "message")
    await _tell(event, tx, "orphan_found", f"{event.subject}/{event.resource}", details=details)


async def on_audit_found(event: AuditFound, tx: Transaction) -> None:
    await _tell(event, tx, "audit_found", event.run_id, details=_facts(event, "run_id", "counts", "mended", "examples"))


async def on_erasure_wanted(event: CustomerErasureWanted, tx: Transaction) -> None:
    await _tell(event, tx, "erasure_wanted", event.customer_id, details=_facts(event, "customer_id"))


async def on_canary_failed(event: CanaryFailed, tx: Transaction) -> None:
    await _tell(event, tx, "canary_failed", event.run_id, details=_facts(event, "run_id", "step", "cause"))


async def on_certificate_expiring(event: CertificateExpiring, tx: Transaction) -> None:
    """Told again whenever less time is left."""
    fact = f"{event.certificate_id}/{event.expires_at.date()}/{event.days_left}"
    details = _facts(event, "certificate_id", "names", "expires_at", "days_left", "detail")
    await _tell(event, tx, "certificate_expiring", fact, details=details)


async def _tell(
    event: Event, tx: Transaction, template: Template, fact: str, *, details: Mapping[str, Any], **link: Any
) -> None:
    message_id = await repository.add_message(
        tx, template, fact, subject=event.subject, purchase_id=_purchase(event), details=details, **link
    )
    if message_id:
        tx.schedule(MAIL, str(message_id), subject=event.subject)


async def _contact_known(event: Event, tx: Transaction) -> None:
    """Mails that waited for the contact go now."""
    for message_id in await repository.pending(tx, UUID(event.subject)):
        tx.schedule(MAIL, str(message_id), subject=event.subject)


def _missing(event: SubscriptionEvent) -> dict[str, Any]:
    """What was not paid. Of what a provider collects nothing can be paid here: it is what that tried to charge."""
    return {"due": event.next_price if event.due is None else event.due, "currency": event.currency}


def _facts(event: Event, *fields: str) -> dict[str, Any]:
    return event.model_dump(mode="json", include=set(fields))


def _purchase(event: Event) -> UUID | None:
    """None for a gateway event, whose subject is the provider's object."""
    try:
        return UUID(event.subject)
    except ValueError:
        return None


HANDLERS: Handlers = {
    PurchaseOpened: on_purchase_opened,
    EntitlementChanged: on_entitlement_changed,
    SetupLinkIssued: on_setup_link_issued,
    PurchaseFailed: on_purchase_failed,
    SubscriptionRenewalDue: on_renewal_due,
    InvoicePaid: on_invoice_paid,
    CreditNoteIssued: on_credit_note_issued,
    SubscriptionPastDue: on_past_due,
    SubscriptionChargeFailed: on_charge_failed,
    SubscriptionWarned: on_warned,
    SubscriptionSuspended: on_subscription_suspended,
    SubscriptionEnded: on_subscription_ended,
    SubscriptionResumesSoon: on_resumes_soon,
    SubscriptionPlanChanged: on_plan_changed,
    SubscriptionPlanRefused: on_plan_refused,
    InstallSuspended: on_install_suspended,
    InstallResumed: on_install_resumed,
    InstallFailed: on_install_failed,
    PaymentNeedsReview: on_payment_needs_review,
    WebhookUnreadable: on_webhook_unreadable,
    OrphanFound: on_orphan_found,
    AuditFound: on_audit_found,
    CanaryFailed: on_canary_failed,
    CustomerErasureWanted: on_erasure_wanted,
    CertificateExpiring: on_certificate_expiring,
    CustomerErased: erasing.on_customer_erased,
}

WORK: Mapping[str, WorkKind[NotifierDeps]] = {
    MAIL: WorkKind(send_mail, MAIL_RETRY, slots=4, died=mail_died),  # one attempt to send one message
    erasing.ERASE: erasing.work_kind(erase),  # a customer is forgotten
}
