"""Payments, refunds and disputes."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from billing.domain import Payment, PaymentState
from billing.repository.rows import attached, first, objects
from billing.reversals import Dispute, Refund, RefundRequest
from billing.tables import disputes, payment_refs, payments, refund_requests, refunds
from keyturn.database import Transaction

# Ids that belong to one payment alone. A customer, a subscription or an order may have several.
OWN_REFS = frozenset({"session", "payment_intent", "charge", "invoice", "payment"})


_NAMES = [column.name for column in payments.columns]
_COLUMNS = ", ".join(_NAMES)
BY_KEY = "SELECT * FROM payments WHERE provider = $1 AND payment_key = $2"
MATCHED = "SELECT * FROM payments WHERE purchase_id = $1 AND state = 'matched' ORDER BY period"
REFUNDS = "SELECT * FROM refunds WHERE payment_id = ANY($1::uuid[]) ORDER BY booked_at"
DISPUTES = "SELECT * FROM disputes WHERE payment_id = ANY($1::uuid[]) ORDER BY told_at"
ADD = f"""
WITH new AS (
  INSERT INTO payments ({_COLUMNS}) SELECT {_COLUMNS} FROM json_populate_record(NULL::payments, $1::text::json)
  ON CONFLICT (provider, payment_key) DO NOTHING RETURNING id, provider),
named AS (
  INSERT INTO payment_refs (provider, value, payment_id)
  SELECT provider, value, id FROM new, unnest($2::text[]) AS value
  ON CONFLICT DO NOTHING)
SELECT FROM new
"""  # noqa: S608 - our own names


async def payment_by_key(tx: Transaction, provider: str, key: str) -> Payment | None:
    return await first(tx, Payment, BY_KEY, provider, key)


async def get_payment(tx: Transaction, payment_id: UUID) -> Payment | None:
    return await tx.session.get(Payment, payment_id)


async def add_payment(tx: Transaction, payment: Payment) -> Payment | None:
    """With the ids by which later facts may name it. None where somebody else recorded this payment in the meantime."""
    row = {name: getattr(payment, name) for name in _NAMES}
    added = await tx.run(ADD, to_json(row).decode(), _own(payment, payment.refs))
    return attached(tx, Payment, row) if added else None


async def add_refs(tx: Transaction, payment: Payment, refs: Mapping[str, str]) -> None:
    """Remembers by which ids later facts may name this payment. Repeatable, and without the purchase's lock."""
    if new := {kind: value for kind, value in refs.items() if kind not in payment.refs}:
        payment.refs = payment.refs | new
        merged = update(payments).where(payments.c.id == payment.id).values(refs=payments.c.refs.concat(new))
        await tx.session.execute(merged)
    own = _own(payment, refs)
    rows = [{"provider": payment.provider, "value": value, "payment_id": payment.id} for value in own]
    await tx.session.execute(insert(payment_refs).values(rows).on_conflict_do_nothing())


def _own(payment: Payment, refs: Mapping[str, str]) -> list[str]:
    return sorted({value for kind, value in refs.items() if kind in OWN_REFS} | {payment.payment_key})


async def payment_by_refs(tx: Transaction, provider: str, refs: Mapping[str, str]) -> Payment | None:
    own = [value for kind, value in refs.items() if kind in OWN_REFS]
    named = select(payment_refs.c.payment_id).where(payment_refs.c.provider == provider, payment_refs.c.value.in_(own))
    return (await tx.session.scalars(select(Payment).where(payments.c.id.in_(named)).limit(1))).one_or_none()


async def matched_payments(tx: Transaction, purchase_id: UUID) -> list[Payment]:
    """One for each period, in order; then those of changes of plan."""
    return await objects(tx, Payment, MATCHED, purchase_id)


async def matched_payment(tx: Transaction, purchase_id: UUID) -> Payment | None:
    """The last one of a period."""
    found = [payment for payment in await matched_payments(tx, purchase_id) if payment.period]
    return found[-1] if found else None


async def last_matched(tx: Transaction, purchase_id: UUID) -> Payment | None:
    """Of a period or a change of plan."""
    statement = select(Payment).where(payments.c.purchase_id == purchase_id, payments.c.state == "matched")
    newest = statement.order_by(payments.c.recorded_at.desc(), payments.c.id.desc()).limit(1)
    return (await tx.session.scalars(newest)).one_or_none()


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
    return await objects(tx, Refund, REFUNDS, list(payment_ids))


async def dispute_by_id(tx: Transaction, provider: str, dispute_id: str) -> Dispute | None:
    statement = select(Dispute).where(disputes.c.provider == provider, disputes.c.dispute_id == dispute_id)
    return (await tx.session.scalars(statement)).one_or_none()


async def disputes_of(tx: Transaction, payment_ids: Iterable[UUID]) -> list[Dispute]:
    return await objects(tx, Dispute, DISPUTES, list(payment_ids))


async def refund_request(tx: Transaction, request_id: UUID) -> RefundRequest | None:
    return await tx.session.get(RefundRequest, request_id)


async def requests_of(tx: Transaction, payment_ids: Iterable[UUID]) -> list[RefundRequest]:
    statement = select(RefundRequest).where(refund_requests.c.payment_id.in_(list(payment_ids)))
    return list(await tx.session.scalars(statement.order_by(refund_requests.c.requested_at)))


async def requested(tx: Transaction, payment_id: UUID) -> int:
    """What operators asked to send back and no provider has answered yet."""
    await tx.session.flush()
    open_ones = refund_requests.c.payment_id == payment_id, refund_requests.c.state == "requested"
    total = await tx.session.scalar(select(func.sum(refund_requests.c.amount)).where(*open_ones))
    return int(total or 0)


async def returned(tx: Transaction, payment_id: UUID) -> int:
    """How much of what credit paid beside this payment is credit again."""
    of = refund_requests.c.payment_id == payment_id
    await tx.session.flush()
    return int(await tx.session.scalar(select(func.sum(refund_requests.c.credit)).where(of)) or 0)


def add(tx: Transaction, row: Refund | RefundRequest | Dispute) -> None:
    tx.session.add(row)
