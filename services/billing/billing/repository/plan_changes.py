"""Changes of plan. Whoever changes one holds its purchase's lock."""

from uuid import UUID

from sqlalchemy import delete, select

from billing.domain import Payment
from billing.plan_changes import PlanChange
from billing.repository.rows import open_of_purchase, remember
from billing.tables import payments, plan_changes
from keyturn.database import Transaction

UNDER_WAY = "SELECT * FROM plan_changes WHERE purchase_id = $1 AND state IN ('open', 'applying')"


def add_change(tx: Transaction, change: PlanChange) -> None:
    tx.session.add(change)


def is_under_way(tx: Transaction, change: PlanChange) -> None:
    """From now on: it was accepted."""
    remember(tx, change)


async def plan_change(tx: Transaction, purchase_id: UUID, change_id: UUID) -> PlanChange | None:
    statement = select(PlanChange).where(plan_changes.c.id == change_id, plan_changes.c.purchase_id == purchase_id)
    return (await tx.session.scalars(statement.execution_options(populate_existing=True))).one_or_none()


async def change_under_way(tx: Transaction, purchase_id: UUID) -> PlanChange | None:
    """The one that was accepted and is not decided."""
    return await open_of_purchase(tx, PlanChange, UNDER_WAY, purchase_id, {"open", "applying"})


async def changes_of(tx: Transaction, purchase_id: UUID, limit: int = 100) -> list[PlanChange]:
    """The newest first."""
    statement = select(PlanChange).where(plan_changes.c.purchase_id == purchase_id)
    return list(await tx.session.scalars(statement.order_by(plan_changes.c.quoted_at.desc()).limit(limit)))


async def forget_quotes(tx: Transaction, purchase_id: UUID) -> None:
    """That ran out: nobody can accept them any more."""
    of = plan_changes.c.purchase_id == purchase_id, plan_changes.c.state == "quoted"
    await tx.session.execute(delete(plan_changes).where(*of, plan_changes.c.expires_at <= tx.now))


async def payment_of_change(tx: Transaction, change: PlanChange) -> Payment | None:
    of = payments.c.purchase_id == change.purchase_id, payments.c.change_id == change.id
    return (await tx.session.scalars(select(Payment).where(*of, payments.c.state == "matched"))).one_or_none()
