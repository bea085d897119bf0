"""Changing the sealing key: a new one is put in front, what older keys sealed is sealed again, the old one is removed.

Nothing happens while the ring has one key. The old key may go once a run says that it left nothing (`resealed`, left=0)
and no backup that may be restored is older than that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from keyturn.errors import SealError
from keyturn.events.sealed import Sealed
from keyturn.log import get_logger
from keyturn.sealing import KeyRing
from keyturn.work import Work
from provisioner.certificates.ordering import account_place, place
from provisioner.deps import ProvisionerDeps
from provisioner.engine import values
from provisioner.repository import certificates, installs, sealed

BATCH = 100

log = get_logger()


@dataclass
class Resealer:
    """One run over all that is stored."""

    keys: KeyRing
    changed: int = 0
    left: int = 0  # values that no key of the ring opens

    def value(self, text: str, place: tuple[str, ...]) -> str:
        """The same secret under the active key; as it is where it cannot be opened."""
        found: Sealed[str] = Sealed(text)
        try:
            if not self.keys.needs_rotation(found):
                return text
            opened = self.keys.open(found, place=place)
        except SealError as error:
            self.left += 1
            log.error("sealed_value_does_not_open", place="/".join(place), reason=str(error))  # noqa: TRY400 - its class and text say all
            return text
        self.changed += 1
        return self.keys.seal(opened, place=place).ciphertext

    def all_in(self, found: Any, place: tuple[str, ...]) -> Any:
        if isinstance(found, Mapping):
            if values.SEALED in found:
                return {values.SEALED: self.value(found[values.SEALED], place)}
            return {name: self.all_in(one, place) for name, one in found.items()}
        return [self.all_in(one, place) for one in found] if isinstance(found, list) else found

    def column(self, key: tuple[UUID, str], name: str, found: Mapping[str, Any]) -> dict[str, Any]:
        return {item: self.all_in(one, values.place(*key, name, item)) for item, one in found.items()}


async def reseal(work: Work, deps: ProvisionerDeps) -> None:
    """In pages, each committed by itself: repeated, it goes on where something is left."""
    if not deps.keys.rotating:
        return
    run = Resealer(deps.keys)
    await _secrets(work, run)
    await _resources(work, run)
    await _certificates(work, run)
    log.info("resealed", key=deps.keys.active_id(), changed=run.changed, left=run.left)


async def _secrets(work: Work, run: Resealer) -> None:
    after, full = sealed.START, True
    while full:
        async with work.transaction("secrets") as tx:
            rows = await sealed.secrets_after(tx, after, BATCH)
            for row in rows:
                new = run.value(row.sealed, installs.secret_place(row.install_id, row.name))
                if new != row.sealed:
                    await sealed.write_secret(tx, (row.install_id, row.name), new)
        full = len(rows) == BATCH
        after = (rows[-1].install_id, rows[-1].name) if rows else after


async def _resources(work: Work, run: Resealer) -> None:
    after, full = sealed.START, True
    while full:
        async with work.transaction("resources") as tx:
            rows = await sealed.resources_after(tx, after, BATCH)
            for row in rows:
                key, old = (row.install_id, row.name), {"notes": row.notes, "outputs": row.outputs}
                new = {name: run.column(key, name, found) for name, found in old.items()}
                if new != old:
                    await sealed.write_resource(tx, key, new)
        full = len(rows) == BATCH
        after = (rows[-1].install_id, rows[-1].name) if rows else after


async def _certificates(work: Work, run: Resealer) -> None:
    after, full = UUID(int=0), True
    while full:
        async with work.transaction("certificates") as tx:
            rows = await certificates.page(tx, after, BATCH, held=True)
            for row in rows:
                old = {"order_key": row.order_key, "key": row.key}
                new = {column: found and run.value(found, place(row.id, column)) for column, found in old.items()}
                if new != old:
                    await sealed.write_certificate(tx, row.id, new)
        full = len(rows) == BATCH
        after = rows[-1].id if rows else after
    async with work.transaction("accounts") as tx:
        for account in await certificates.accounts(tx, BATCH):
            new_key = run.value(account.key, account_place(account.directory))
            if new_key != account.key:
                await sealed.write_account(tx, account.directory, new_key)
