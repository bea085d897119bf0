"""Subscriptions, their periods, and what is asked for the next one."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from billing.repository.rows import first, of_purchase, open_of_purchase, remember
from billing.subscriptions import Period, Renewal, Subscription, SubscriptionState
from billing.tables import periods, prices, subscriptions, trials, used_trials
from keyturn.database import Transaction

SUBSCRIPTION = "SELECT * FROM subscriptions WHERE purchase_id = $1"
RENEWAL = "SELECT * FROM renewals WHERE purchase_id = $1 AND number = $2"
OPEN_RENEWAL = "SELECT * FROM renewals WHERE purchase_id = $1 AND state = 'open'"


async def subscription_of(tx: Transaction, purchase_id: UUID) -> Subscription | None:
    """Whoever changes it holds its purchase's lock."""
    return await of_purchase(tx, Subscription, SUBSCRIPTION, purchase_id)


async def open_renewal(tx: Transaction, purchase_id: UUID) -> Renewal | None:
    return await open_of_purchase(tx, Renewal, OPEN_RENEWAL, purchase_id, {"open"})


async def renewal_of(tx: Transaction, purchase_id: UUID, number: int) -> Renewal | None:
    found = await open_renewal(tx, purchase_id)
    return found if found and found.number == number else await first(tx, Renewal, RENEWAL, purchase_id, number)


async def period_of(tx: Transaction, purchase_id: UUID, number: int) -> Period | None:
    return await tx.session.get(Period, (purchase_id, number))


async def periods_of(tx: Transaction, purchase_id: UUID, limit: int = 100) -> list[Period]:
    """The newest first."""
    statement = select(Period).where(periods.c.purchase_id == purchase_id).order_by(periods.c.number.desc())
    return list(await tx.session.scalars(statement.limit(limit)))


async def amount_of(tx: Transaction, price_id: UUID) -> int:
    """What the price of a purchase asks: a price that people bought is never changed."""
    return int((await tx.session.execute(select(prices.c.amount).where(prices.c.id == price_id))).scalar_one())


# Of the trial that is in the way. In SQL, for the library would put `trials` into the inner FROM, and mean anybody's.
LAPSED = "EXISTS (SELECT FROM purchases WHERE id = trials.purchase_id AND state IN ('expired', 'failed'))"


async def add_trial(tx: Transaction, customer_id: UUID, purchase_id: UUID, digest: bytes | None) -> bool:
    """False where the customer has had one, also as somebody who was forgotten (by the digest of the address), or can
    still begin one. One that nobody began in time is free again."""
    if digest and await tx.session.scalar(select(used_trials.c.digest).where(used_trials.c.digest == digest)):
        return False
    new = {"purchase_id": purchase_id, "claimed_at": tx.now}
    statement = insert(trials).values(customer_id=customer_id, **new)
    taken = statement.on_conflict_do_update(index_elements=["customer_id"], set_=new, where=text(LAPSED))
    return (await tx.session.execute(taken.returning(trials.c.customer_id))).first() is not None


async def holds_trial(tx: Transaction, customer_id: UUID, purchase_id: UUID) -> bool:
    found = select(trials.c.purchase_id).where(trials.c.customer_id == customer_id)
    return bool(await tx.session.scalar(found) == purchase_id)


async def list_subscriptions(
    tx: Transaction, *, state: SubscriptionState | None, after: tuple[datetime, UUID] | None, limit: int
) -> list[Subscription]:
    """Newest first."""
    place = subscriptions.c.began_at, subscriptions.c.purchase_id
    statement = select(Subscription).order_by(*(column.desc() for column in place))
    if state:
        statement = statement.where(subscriptions.c.state == state)
    if after:
        statement = statement.where(tuple_(*place) < after)
    return list(await tx.session.scalars(statement.limit(limit)))


async def take_steps(tx: Transaction, until: datetime, limit: int) -> list[UUID]:
    """Purchases whose subscription has to take a step, longest due first. Nobody takes them again before `until`: the
    work settles when the next step is due."""
    step = subscriptions.c.next_step_at
    due = select(subscriptions.c.purchase_id).where(step <= tx.now).order_by(step).limit(limit)
    taken = update(subscriptions).where(subscriptions.c.purchase_id.in_(due.with_for_update(skip_locked=True)))
    statement = taken.values(next_step_at=until).returning(subscriptions.c.purchase_id)
    return [row[0] for row in await tx.session.execute(statement)]


def add(tx: Transaction, row: Subscription | Period | Renewal) -> None:
    """Or, of a renewal: it is open again."""
    tx.session.add(row)
    remember(tx, row)
