"""Every sealed value that is stored, in pages, each page's rows held until the commit."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Table, select, tuple_, update

from keyturn.database import Transaction
from provisioner.tables import acme_accounts, certificates, resources, secrets

Key = tuple[UUID, str]
START: Key = (UUID(int=0), "")


async def secrets_after(tx: Transaction, after: Key, limit: int) -> Sequence[Any]:
    return await _page(tx, secrets, (secrets.c.sealed,), after, limit)


async def resources_after(tx: Transaction, after: Key, limit: int) -> Sequence[Any]:
    return await _page(tx, resources, (resources.c.notes, resources.c.outputs), after, limit)


async def _page(tx: Transaction, table: Table, columns: Sequence[Any], after: Key, limit: int) -> Sequence[Any]:
    here = table.c.install_id, table.c.name
    query = select(*here, *columns).where(tuple_(*here) > tuple_(*after)).order_by(*here).limit(limit)
    return (await tx.session.execute(query.with_for_update())).all()


async def write_secret(tx: Transaction, key: Key, sealed: str) -> None:
    await tx.session.execute(update(secrets).where(_is(secrets, key)).values(sealed=sealed))


async def write_resource(tx: Transaction, key: Key, columns: Mapping[str, Any]) -> None:
    await tx.session.execute(update(resources).where(_is(resources, key)).values(**columns))


async def write_certificate(tx: Transaction, certificate_id: UUID, columns: Mapping[str, Any]) -> None:
    await tx.session.execute(update(certificates).where(certificates.c.id == certificate_id).values(**columns))


async def write_account(tx: Transaction, directory: str, key: str) -> None:
    await tx.session.execute(update(acme_accounts).where(acme_accounts.c.directory == directory).values(key=key))


def _is(table: Table, key: Key) -> Any:
    return (table.c.install_id == key[0]) & (table.c.name == key[1])
