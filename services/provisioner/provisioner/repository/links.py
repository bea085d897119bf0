"""Setup links. Only the hash of a token is stored."""

from uuid import UUID

from sqlalchemy import func, select, update

from keyturn.database import Transaction
from provisioner.domain import SetupLink
from provisioner.tables import setup_links


async def by_hash(tx: Transaction, token_hash: str, *, lock: bool = False) -> SetupLink | None:
    query = select(SetupLink).where(setup_links.c.token_hash == token_hash)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return (await tx.session.execute(query)).scalar_one_or_none()


async def locked(tx: Transaction, link_id: UUID) -> SetupLink | None:
    query = select(SetupLink).where(setup_links.c.id == link_id).with_for_update()
    return (await tx.session.execute(query.execution_options(populate_existing=True))).scalar_one_or_none()


async def of_install(tx: Transaction, install_id: UUID) -> list[SetupLink]:
    """The newest first."""
    query = select(SetupLink).where(setup_links.c.install_id == install_id).order_by(setup_links.c.number.desc())
    return list((await tx.session.execute(query.limit(20))).scalars())


async def next_number(tx: Transaction, install_id: UUID) -> int:
    query = select(func.coalesce(func.max(setup_links.c.number), 0)).where(setup_links.c.install_id == install_id)
    return int((await tx.session.execute(query)).scalar_one()) + 1


async def replace_all(tx: Transaction, install_id: UUID) -> None:
    """Every link of the install that is not used is dead."""
    dead = setup_links.c.install_id == install_id, setup_links.c.state.in_(("open", "completing", "expired"))
    await tx.session.execute(update(setup_links).where(*dead).values(state="replaced", claimed_until=None))


async def expire(tx: Transaction) -> None:
    """Write down what time has done already."""
    over = setup_links.c.state == "open", setup_links.c.expires_at <= tx.now
    await tx.session.execute(update(setup_links).where(*over).values(state="expired"))


def add(tx: Transaction, link: SetupLink) -> None:
    tx.session.add(link)
