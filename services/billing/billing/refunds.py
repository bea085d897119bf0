"""Refunds: booked once per provider refund id, booked back when they fail, and asked for by operators."""

from dataclasses import dataclass
from uuid import UUID

from billing.crediting import credit_refund, credit_returned
from billing.credits import give_credit
from billing.deps import BillingDeps
from billing.domain import Payment, Purchase
from billing.entitlements import settle
from billing.errors import credit_part_too_large, not_refundable, refund_too_large
from billing.providers import PaymentRefs
from billing.repository.invoices import invoice_paid_by
from billing.repository.payments import (
    add,
    disputes_of,
    get_payment,
    refund_by_id,
    refund_request,
    refunds_of,
    requested,
    returned,
)
from billing.repository.purchases import lock_purchase_of
from billing.reversals import Refund, RefundRequest, standing
from billing.taking_back import can_go_back, give_again, take_back
from keyturn.database import Transaction
from keyturn.errors import GiveUp
from keyturn.events import FoundBy, PurchaseRefunded, uuid7
from keyturn.work import Work

SEND_REFUND = "send_refund"
NOT_THROUGH_A_PROVIDER = "Nothing was paid through a provider."


@dataclass(frozen=True)
class RefundFact:
    """One refund as the provider tells of it. `failed`: the money did not leave."""

    refund_id: str
    amount: int
    currency: str
    failed: bool = False


async def book_refund(tx: Transaction, payment: Payment, fact: RefundFact, found_by: FoundBy) -> None:
    """Facts of one refund come doubled and in any order; that it failed is final."""
    if fact.currency != payment.currency:
        raise GiveUp(f"refund {fact.refund_id} is in {fact.currency}, its payment in {payment.currency}")
    purchase = await lock_purchase_of(tx, payment)
    refund = await refund_by_id(tx, payment.provider, fact.refund_id)
    stood = refund is not None and not refund.failed
    if refund is None:
        refund = _refund(tx, payment, fact)
        add(tx, refund)
    refund.failed = refund.failed or fact.failed
    stands = not refund.failed
    if stood == stands:
        return
    refund.plan_look(tx.now)
    if purchase and payment.state == "matched":
        if stands:
            await take_back(tx, purchase, payment, refund.amount, f"refund-{refund.refund_id}")
        else:
            await give_again(tx, purchase, payment, f"refund-{refund.refund_id}")
        await settle(tx, purchase)
        await credit_refund(tx, purchase, payment, refund)
        back = standing(await refunds_of(tx, [payment.id]))
        full = back >= payment.amount and purchase.state == "refunded"  # and not one for a period that is over
        tx.publish(_refunded(tx, purchase, refund, found_by, full=full))


async def ask_for_refund(
    tx: Transaction, purchase: Purchase, payment: Payment | None, amount: int | None, credit: int | None = 0
) -> RefundRequest:
    """Called with the purchase locked. The refund itself is work: the provider is asked after this has committed.
    `credit`: how much of what the customer's credit paid is given back as such, now. None: of all, where `amount` is
    None; else nothing."""
    if payment is None:
        raise not_refundable(NOT_THROUGH_A_PROVIDER)
    invoice = await invoice_paid_by(tx, purchase.id, payment.id) if credit != 0 else None
    by_credit = invoice.credited - await returned(tx, payment.id) if invoice and not purchase.erased_at else 0
    back = (by_credit if amount is None else 0) if credit is None else credit
    if back > by_credit:
        raise credit_part_too_large(by_credit, payment.currency)
    wanted = await _money(tx, purchase, payment, amount, beside=bool(back))
    request = RefundRequest(
        id=uuid7(), purchase_id=purchase.id, payment_id=payment.id, amount=wanted, credit=back, requested_at=tx.now
    )
    add(tx, request)
    if invoice and back:
        await give_credit(tx, purchase, back, source=f"refund {request.id}", reason=f"refund of {invoice.number}")
    if wanted:
        tx.schedule(SEND_REFUND, str(request.id), subject=str(purchase.id))
    else:
        request.state = "sent"
        await _settle_credit(tx, purchase, payment, request)
    return request


async def _money(tx: Transaction, purchase: Purchase, payment: Payment, amount: int | None, *, beside: bool) -> int:
    """How much money is to go back. `beside`: it may be none, where credit goes back."""
    through = payment.provider in {"stripe", "razorpay"}
    if not through and (amount if amount is not None else payment.amount or not beside):
        raise not_refundable(NOT_THROUGH_A_PROVIDER)
    left = await _left(tx, purchase, payment) if through else 0
    wanted = left if amount is None else amount
    if not (0 if beside else 1) <= wanted <= left:
        raise refund_too_large(left, payment.currency)
    return wanted


async def _settle_credit(tx: Transaction, purchase: Purchase, payment: Payment, request: RefundRequest) -> None:
    """Of a request whose money does not go back, or of which there was none to go."""
    if request.credit and payment.state == "matched":
        await tx.session.flush()
        await settle(tx, purchase)
        await credit_returned(tx, purchase, payment, f"request-{request.id}")


async def send_refund(work: Work, deps: BillingDeps) -> None:
    """The request's id is the idempotency key, so that a repetition after a crash sends nothing twice."""
    async with work.transaction("read_refund") as tx:
        request = await refund_request(tx, UUID(work.key))
        payment = await get_payment(tx, request.payment_id) if request else None
        if request is None or payment is None or request.refund_id:
            return
        if request.state == "failed":
            await _ask_again(tx, request, payment)
    refs = PaymentRefs(payment.payment_key, payment.currency, payment.refs)
    result = await deps.provider(payment.provider).refund(refs, request.amount, key=str(request.id))
    fact = RefundFact(result.refund_id, result.amount, result.currency, failed=result.status == "failed")
    async with work.transaction("book_refund", finish=True) as tx:
        await _answered(tx, request.id, fact)


async def _ask_again(tx: Transaction, request: RefundRequest, payment: Payment) -> None:
    """An operator has its dead work done once more. Since it died the amount was free to be asked for otherwise."""
    purchase = await lock_purchase_of(tx, payment)
    if request.amount > await _left(tx, purchase, payment):
        raise GiveUp("the amount has gone back meanwhile, is held by a dispute, or was asked for again")
    request.state = "requested"


async def _left(tx: Transaction, purchase: Purchase | None, payment: Payment) -> int:
    """What can still go back of it. A refund whose webhook is faster than its answer counts twice until that is there,
    and what a dispute took or holds is not given back as well, nor what came back as credit and is spent."""
    asked = await requested(tx, payment.id)
    gone = standing(await refunds_of(tx, [payment.id])) + asked
    held = sum(dispute.holds for dispute in await disputes_of(tx, [payment.id]))
    left = payment.amount - gone - held
    if purchase and payment.state == "matched":
        left = min(left, await can_go_back(tx, purchase, payment) - asked)
    return max(0, left)


async def refund_died(work: Work, error: BaseException, tx: Transaction) -> None:  # noqa: ARG001 - the callback's shape
    """No provider took it: the amount may be asked for again."""
    request = await refund_request(tx, UUID(work.key))
    payment = await get_payment(tx, request.payment_id) if request else None
    if request is None or payment is None:
        return
    purchase = await lock_purchase_of(tx, payment)
    request.state = "failed"
    if purchase:
        await _settle_credit(tx, purchase, payment, request)


async def _answered(tx: Transaction, request_id: UUID, fact: RefundFact) -> None:
    request = await refund_request(tx, request_id)
    payment = await get_payment(tx, request.payment_id) if request else None
    if request is None or payment is None:
        return
    await book_refund(tx, payment, fact, "operator")  # locks the purchase; harmless where the webhook was faster
    request.refund_id = fact.refund_id
    request.state = "failed" if fact.failed else "sent"


def _refund(tx: Transaction, payment: Payment, fact: RefundFact) -> Refund:
    return Refund(
        id=uuid7(),
        provider=payment.provider,
        refund_id=fact.refund_id,
        payment_id=payment.id,
        amount=fact.amount,
        currency=fact.currency,
        failed=fact.failed,
        booked_at=tx.now,
    )


def _refunded(
    tx: Transaction, purchase: Purchase, refund: Refund, found_by: FoundBy, *, full: bool
) -> PurchaseRefunded:
    return PurchaseRefunded(
        subject=str(purchase.id),
        time=tx.now,
        refund_id=refund.refund_id,
        amount=refund.amount,
        refunded=purchase.refunded,
        currency=refund.currency,
        full=full,
        reversed=refund.failed,
        found_by=found_by,
    )
