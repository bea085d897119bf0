"""What billing hears and what it does. The tables at the end are its contents."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

from billing import erasing
from billing.auditing import on_installs_compared
from billing.canary import heard
from billing.cards import ask_for_card
from billing.charges import charge, forget_mandate, save_mandate
from billing.charging import CHARGE, FORGET_MANDATE, SAVE_MANDATE
from billing.checkout_ends import end_checkout
from billing.deps import BillingDeps
from billing.disputes import DisputeFact, book_dispute
from billing.domain import MoneyFact, Purchase, purchase_id_in
from billing.expecting import out_of_turn
from billing.following import followed, refused
from billing.mirroring import end_collected, mirror, on_provider_subscription
from billing.owing import CLOSE_CHECKOUTS
from billing.payments import record_payment, record_unplaced
from billing.periods import open_first
from billing.placing import (
    LOOK,
    PLACE_FACT,
    About,
    ask,
    ask_provider,
    payment_of,
    purchase_of,
    wait_within_patience,
)
from billing.reconcile import close_checkouts, look_at_purchase, reconcile
from billing.refunds import SEND_REFUND, RefundFact, book_refund, refund_died, send_refund
from billing.renewing import STEP, billing_run, step
from billing.repository.offers import terms
from billing.repository.purchases import checkout_by_refs, lock_purchase, notice
from billing.repository.runs import PART, RUN
from billing.repository.subscriptions import subscription_of
from billing.reversals import DisputeState
from billing.runs import conduct, conduct_died, do_part, part_died
from billing.scheduling import tick
from billing.sweeping import LOOK_AT, look_at_dispute, look_at_refund, sweep
from billing.telling import END_COLLECTED, MIRROR
from keyturn.database import Transaction
from keyturn.events import (
    CheckoutExpired,
    CustomerDataErased,
    DisputeClosed,
    Envelope,
    Event,
    FraudWarned,
    InstallDeleted,
    InstallFailed,
    InstallPlanChanged,
    InstallReady,
    InstallsCompared,
    MandateSaved,
    PaymentActionRequired,
    PaymentCaptured,
    PaymentDisputed,
    PaymentFailed,
    PaymentRefunded,
    ProviderFact,
    ProviderSubscriptionChanged,
    ProviderSubscriptionEnded,
    RefundFailed,
    read,
)
from keyturn.handling import Handlers
from keyturn.work import RetryPolicy, Work, WorkKind


async def on_payment_captured(event: PaymentCaptured, tx: Transaction, *, asked: bool = False) -> None:
    fact = MoneyFact(
        provider=event.provider,
        payment_key=event.payment_key,
        amount=event.amount,
        currency=event.currency,
        livemode=event.livemode,
        reference=event.reference,
        refs=event.refs,
        pays_from=event.period_from,
        pays_until=event.period_until,
    )
    if await out_of_turn(tx, fact) or await record_payment(tx, fact, "webhook"):
        return
    if purchase_id_in(event.reference):
        wait_within_patience(tx, "purchase")
        await record_unplaced(tx, fact, "webhook")
    elif asked:
        await record_unplaced(tx, fact, "webhook")
    else:
        ask_provider(event, tx)


async def on_refund(event: PaymentRefunded | RefundFailed, tx: Transaction, *, asked: bool = False) -> None:
    if payment := await payment_of(event, tx, asked=asked):
        failed = isinstance(event, RefundFailed)
        fact = RefundFact(event.refund_id, event.amount, event.currency, failed=failed)
        await book_refund(tx, payment, fact, "webhook")


async def on_payment_disputed(event: PaymentDisputed, tx: Transaction, *, asked: bool = False) -> None:
    if payment := await payment_of(event, tx, asked=asked):
        state: DisputeState = "inquiry" if event.inquiry else "open"
        fact = DisputeFact(event.dispute_id, state, event.amount, event.currency, event.time, event.reason)
        await book_dispute(tx, payment, fact, "webhook")


async def on_dispute_closed(event: DisputeClosed, tx: Transaction, *, asked: bool = False) -> None:
    if payment := await payment_of(event, tx, asked=asked):
        deducted = event.amount_deducted
        fact = DisputeFact(event.dispute_id, event.outcome, deducted, event.currency, event.time, deducted=deducted)
        await book_dispute(tx, payment, fact, "webhook")


async def on_fraud_warned(event: FraudWarned, tx: Transaction, *, asked: bool = False) -> None:
    payment = await payment_of(event, tx, asked=asked)
    if payment and payment.purchase_id:
        detail = {"warning": event.warning_id, "kind": event.kind, "payment": str(payment.id)}
        await notice(tx, payment.purchase_id, "fraud_warned", detail)


async def on_payment_failed(event: PaymentFailed, tx: Transaction) -> None:
    """A declined attempt is kept and changes nothing: the customer may try again on the same checkout."""
    if purchase := await purchase_of(event, tx):
        await notice(tx, purchase.id, "payment_failed", {"code": event.code, "final": event.final})
        if event.final:
            checkout = await checkout_by_refs(tx, event.provider, event.refs.values())
            await end_checkout(tx, purchase, checkout, "failed", event.code)


async def on_payment_action_required(event: PaymentActionRequired, tx: Transaction) -> None:
    if purchase := await purchase_of(event, tx):
        await notice(tx, purchase.id, "action_required", {})


async def on_mandate_saved(event: MandateSaved, tx: Transaction) -> None:
    """Where it is another shop's, its reference names no purchase of ours. With a card a trial may begin."""
    if "session" in event.refs and (purchase := await purchase_of(event, tx)):
        if purchase.is_paid:
            ask_for_card(tx, purchase.id, event.provider, event.refs)
        else:
            tx.schedule(LOOK, str(purchase.id), subject=str(purchase.id))


async def on_checkout_expired(event: CheckoutExpired, tx: Transaction) -> None:
    if purchase := await purchase_of(event, tx):
        checkout = await checkout_by_refs(tx, event.provider, event.refs.values())
        await end_checkout(tx, purchase, checkout, "expired")


async def on_install_ready(event: InstallReady, tx: Transaction) -> None:
    """Nobody pays for time before: the first period begins now."""
    await heard(event, tx)
    if purchase := await _with_subscription(event, tx):
        await open_first(tx, purchase, (await terms(tx, purchase.plan)).policy, event.time)
        await followed(tx, purchase, event.plan or "")


async def on_install_plan_changed(event: InstallPlanChanged, tx: Transaction) -> None:
    if purchase := await _with_subscription(event, tx):
        await followed(tx, purchase, event.plan)


async def on_install_failed(event: InstallFailed, tx: Transaction) -> None:
    """Of a first install an operator decides; one that has not followed a change of plan goes back to the old one."""
    await heard(event, tx)
    if event.action in {"change_plan", "provision"} and (purchase := await _with_subscription(event, tx)):
        await refused(tx, purchase, event.cause)


async def _with_subscription(event: Event, tx: Transaction) -> Purchase | None:
    known = purchase_id_in(event.subject)
    return await lock_purchase(tx, known) if known and await subscription_of(tx, known) else None


async def place_fact(work: Work, deps: BillingDeps) -> None:
    """Asks the provider what the ids of a fact belong to, since none of them is known here."""
    event = cast("ProviderFact", read(work.payload["event"].encode()))
    about = await ask(work, deps.provider(event.provider), About(event.refs, event.reference))
    event = event.model_copy(update={"reference": about.reference, "refs": about.refs})
    async with work.transaction("place_fact", finish=True) as tx:
        await PLACED_BY_ASKING[type(event)](event, tx, asked=True)


PLACED_BY_ASKING: dict[type[Event] | type[Envelope], Any] = {
    PaymentCaptured: on_payment_captured,
    PaymentRefunded: on_refund,
    RefundFailed: on_refund,
    PaymentDisputed: on_payment_disputed,
    DisputeClosed: on_dispute_closed,
    FraudWarned: on_fraud_warned,
}

HANDLERS: Handlers = {
    **PLACED_BY_ASKING,
    PaymentFailed: on_payment_failed,
    PaymentActionRequired: on_payment_action_required,
    MandateSaved: on_mandate_saved,
    CheckoutExpired: on_checkout_expired,
    InstallReady: on_install_ready,
    InstallPlanChanged: on_install_plan_changed,
    InstallFailed: on_install_failed,
    InstallsCompared: on_installs_compared,
    InstallDeleted: heard,
    CustomerDataErased: erasing.on_data_erased,
    ProviderSubscriptionChanged: on_provider_subscription,
    ProviderSubscriptionEnded: on_provider_subscription,
}

# A provider may be away for hours: work that asks it goes on for about a day before an operator has to act.
_PATIENT = RetryPolicy(attempts=60, first=timedelta(seconds=2), cap=timedelta(minutes=30))

WORK: Mapping[str, WorkKind[BillingDeps]] = {
    "reconcile": WorkKind(reconcile, every=timedelta(minutes=1)),  # which purchases, refunds and disputes to look at
    LOOK: WorkKind(look_at_purchase, retry=_PATIENT),  # what was paid for one purchase; is its time over?
    "sweep": WorkKind(sweep, every=timedelta(minutes=5)),  # refunds and disputes that nobody told us of
    # What became of a refund, of a dispute? After an outage, or at first, there may be thousands to ask about.
    LOOK_AT["refund"]: WorkKind(look_at_refund, retry=_PATIENT, slots=2),
    LOOK_AT["dispute"]: WorkKind(look_at_dispute, retry=_PATIENT, slots=2),
    "billing_run": WorkKind(billing_run, every=timedelta(minutes=1)),  # which subscriptions are to take a step
    STEP: WorkKind(step, retry=_PATIENT),  # asks for the next period, falls behind, is suspended, ends
    "scheduled_runs": WorkKind(tick, every=timedelta(minutes=1)),  # which of them is to begin, which is done?
    RUN: WorkKind(conduct, died=conduct_died),  # whose turn is it in this run?
    # One customer's part of a run. Tried for about a quarter of an hour: the next run finds them again.
    PART: WorkKind(do_part, retry=RetryPolicy(attempts=8, cap=timedelta(minutes=5)), slots=4, died=part_died),
    CHARGE: WorkKind(charge, retry=_PATIENT, slots=4),  # asks for money from what a customer saved
    SAVE_MANDATE: WorkKind(save_mandate, retry=_PATIENT),  # what did a customer save?
    FORGET_MANDATE: WorkKind(forget_mandate, retry=_PATIENT),  # so that nobody can charge it any more
    MIRROR: WorkKind(mirror, retry=_PATIENT),  # how does a subscription stand that a provider collects?
    END_COLLECTED: WorkKind(end_collected, retry=_PATIENT),  # one through which money came that pays nothing
    PLACE_FACT: WorkKind(place_fact, retry=_PATIENT),  # to which purchase does a fact belong?
    CLOSE_CHECKOUTS: WorkKind(close_checkouts, retry=_PATIENT),  # so that nobody pays twice
    **erasing.WORK,  # a customer is forgotten, here and everywhere
    SEND_REFUND: WorkKind(send_refund, retry=_PATIENT, died=refund_died),
}
