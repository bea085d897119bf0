"""Jobs that were, and the numbers and places at targets that steps hold."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from keyturn.database import Transaction
from provisioner.records import Job
from provisioner.tables import allocations, slots

LATEST = "SELECT * FROM jobs WHERE install_id = $1 ORDER BY created_at DESC LIMIT $2"


ANY_FREE = """
SELECT FROM generate_series($2::int, $3::int) AS one (number)
WHERE NOT EXISTS (SELECT FROM allocations WHERE pool = $1 AND allocations.number = one.number) LIMIT 1
"""


async def latest(tx: Transaction, install_id: UUID, limit: int = 20) -> list[Job]:
    """The newest first."""
    return [Job(**row) for row in await tx.run(LATEST, install_id, limit)]


async def allocate(
    tx: Transaction, pool: str, owner: tuple[UUID, str], candidates: Collection[int], refuse: Collection[int]
) -> int | None:
    """The number that the owner holds in the pool, else the first of the candidates that nobody holds."""
    install_id, resource = owner
    mine = (
        allocations.c.install_id == install_id,
        allocations.c.resource == resource,
        allocations.c.pool == pool,
    )
    held: int | None = (await tx.session.execute(select(allocations.c.number).where(*mine))).scalar_one_or_none()
    if held is not None and held not in refuse:
        return held
    await tx.session.execute(allocations.delete().where(*mine))  # until the commit nobody else gets it
    for number in candidates:
        row = {"pool": pool, "number": number, "install_id": install_id, "resource": resource}
        statement = upsert(allocations).values(row).on_conflict_do_nothing().returning(allocations.c.number)
        taken: int | None = (await tx.session.execute(statement)).scalar_one_or_none()
        if taken is not None:
            return taken
    return None


async def any_free(tx: Transaction, pool: str, numbers: range) -> bool:
    """Whether nobody holds one of these. They are given at random, so that the first free one is soon found."""
    return bool(numbers) and bool(await tx.run(ANY_FREE, pool, numbers[0], numbers[-1]))


async def enter(tx: Transaction, target: str, install_id: UUID, resource: str, most: int) -> bool:
    """Take one of the target's places, over all replicas; False where all are taken. A place that is ours already
    is ours still: the one who held it for us is gone."""
    await tx.session.execute(select(func.pg_advisory_xact_lock(func.hashtext(target))))
    held = (
        await tx.session.execute(select(slots.c.install_id, slots.c.resource).where(slots.c.target == target))
    ).all()
    if (install_id, resource) in {(row.install_id, row.resource) for row in held}:
        return True
    if len(held) >= most:
        return False
    await tx.session.execute(upsert(slots).values(target=target, install_id=install_id, resource=resource))
    return True
