"""Payments, refunds and disputes."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from billing.domain import Payment, PaymentState
from billing.reversals import Dispute, Refund, RefundRequest
from billing.tables import disputes, payment_refs, payments, refund_requests, refunds
from keyturn.database import Transaction

# Ids that belong to one payment alone. A customer, a subscription or an order may have several.
OWN_REFS = frozenset({"session", "payment_intent", "charge", "invoice", "payment"})


async def payment_by_key(tx: Transaction, provider: str, key: str) -> Payment | None:
    statement = select(Payment).where(payments.c.provider == provider, payments.c.payment_key == key)
    return (await tx.session.scalars(statement.execution_options(populate_existing=True))).one_or_none()


async def get_payment(tx: Transaction, payment_id: UUID) -> Payment | None:
    return await tx.session.get(Payment, payment_id)


async def add_payment(tx: Transaction, payment: Payment) -> bool:
    """False where somebody else recorded this payment in the meantime."""
    values = {column.name: getattr(payment, column.name) for column in payments.c}
    statement = insert(payments).values(values).on_conflict_do_nothing(index_elements=["provider", "payment_key"])
    return (await tx.session.execute(statement.returning(payments.c.id))).first() is not None


async def add_refs(tx: Transaction, payment: Payment, refs: Mapping[str, str]) -> None:
    """Remembers by which ids later facts may name this payment. Repeatable, and without the purchase's lock."""
    if new := {kind: value for kind, value in refs.items() if kind not in payment.refs}:
        payment.refs = payment.refs | new
        merged = update(payments).where(payments.c.id == payment.id).values(refs=payments.c.refs.concat(new))
        await tx.session.execute(merged)
    own = {value for kind, value in refs.items() if kind in OWN_REFS} | {payment.payment_key}
    rows = [{"provider": payment.provider, "value": value, "payment_id": payment.id} for value in sorted(own)]
    await tx.session.execute(insert(payment_refs).values(rows).on_conflict_do_nothing())


async def payment_by_refs(tx: Transaction, provider: str, refs: Mapping[str, str]) -> Payment | None:
    own = [value for kind, value in refs.items() if kind in OWN_REFS]
    named = select(payment_refs.c.payment_id).where(payment_refs.c.provider == provider, payment_refs.c.value.in_(own))
    return (await tx.session.scalars(select(Payment).where(payments.c.id.in_(named)).limit(1))).one_or_none()


async def matched_payment(tx: Transaction, purchase_id: UUID) -> Payment | None:
    statement = select(Payment).where(payments.c.purchase_id == purchase_id, payments.c.state == "matched")
    return (await tx.session.scalars(statement)).one_or_none()


async def payments_of(tx: Transaction, purchase_id: UUID, limit: int = 100) -> list[Payment]:
    statement = select(Payment).where(payments.c.purchase_id == purchase_id).order_by(payments.c.recorded_at)
    return list(await tx.session.scalars(statement.limit(limit)))


async def list_payments(
    tx: Transaction, *, state: PaymentState | None, after: tuple[datetime, UUID] | None, limit: int
) -> list[Payment]:
    """Newest first."""
    statement = select(Payment).order_by(payments.c.recorded_at.desc(), payments.c.id.desc())
    if state:
        statement = statement.where(payments.c.state == state)
    if after:
        statement = statement.where(tuple_(payments.c.recorded_at, payments.c.id) < after)
    return list(await tx.session.scalars(statement.limit(limit)))


async def refund_by_id(tx: Transaction, provider: str, refund_id: str) -> Refund | None:
    statement = select(Refund).where(refunds.c.provider == provider, refunds.c.refund_id == refund_id)
    return (await tx.session.scalars(statement)).one_or_none()


async def refunds_of(tx: Transaction, payment_ids: Iterable[UUID]) -> list[Refund]:
    statement = select(Refund).where(refunds.c.payment_id.in_(list(payment_ids))).order_by(refunds.c.booked_at)
    return list(await tx.session.scalars(statement))


async def dispute_by_id(tx: Transaction, provider: str, dispute_id: str) -> Dispute | None:
    statement = select(Dispute).where(disputes.c.provider == provider, disputes.c.dispute_id == dispute_id)
    return (await tx.session.scalars(statement)).one_or_none()


async def disputes_of(tx: Transaction, payment_ids: Iterable[UUID]) -> list[Dispute]:
    statement = select(Dispute).where(disputes.c.payment_id.in_(list(payment_ids))).order_by(disputes.c.told_at)
    return list(await tx.session.scalars(statement))


async def refund_request(tx: Transaction, request_id: UUID) -> RefundRequest | None:
    return await tx.session.get(RefundRequest, request_id)


async def requests_of(tx: Transaction, payment_ids: Iterable[UUID]) -> list[RefundRequest]:
    statement = select(RefundRequest).where(refund_requests.c.payment_id.in_(list(payment_ids)))
    return list(await tx.session.scalars(statement.order_by(refund_requests.c.requested_at)))


async def requested(tx: Transaction, payment_id: UUID) -> int:
    """What operators asked to send back and no provider has answered yet."""
    open_ones = refund_requests.c.payment_id == payment_id, refund_requests.c.state == "requested"
    total = await tx.session.scalar(select(func.sum(refund_requests.c.amount)).where(*open_ones))
    return int(total or 0)


def add(tx: Transaction, row: Refund | RefundRequest | Dispute) -> None:
    tx.session.add(row)
