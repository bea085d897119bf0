"""A driver's notes: each change is committed at once, under the fence of the work that the driver serves."""

import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, TypeVar
from uuid import UUID

from pydantic import SecretStr

from keyturn import failpoints
from keyturn.database import Transaction
from keyturn.events.sealed import Sealed
from keyturn.sealing import KeyRing
from keyturn.work import Work
from provisioner.engine import values
from provisioner.records import Record
from provisioner.repository import jobs, progress, servers
from provisioner.resources.port import Capacity, Needs, Notes

T = TypeVar("T")


class CommittedNotes(Notes):
    """Raises `LeaseLost` out of every method once another worker has the job."""

    def __init__(self, work: Work, keys: KeyRing, record: Record) -> None:
        self._work = work
        self._keys = keys
        self._record = record

    def get(self, name: str, default: Any = None) -> Any:
        if name not in self._record.notes:
            return default
        return unsealed(self._record.notes[name], self._keys, self._place(name))

    async def save(self, **notes: Any) -> None:
        await failpoints.hit("provisioner.driver.note.before")
        added = {name: sealed(v, self._keys, self._place(name)) for name, v in notes.items() if v is not None}
        async with self._work.transaction("note") as tx:
            owner = (self._record.install_id, self._record.name)
            kept = await progress.note(tx, owner, added, [name for name, value in notes.items() if value is None])
        self._record.notes = kept
        await failpoints.hit("provisioner.driver.note.after")

    async def allocate(self, pool: str, numbers: range, *, refuse: Collection[int] = ()) -> int:
        candidates = _some_of(numbers, refuse)
        async with self._work.transaction("allocate") as tx:
            owner = (self._record.install_id, self._record.name)
            number = await jobs.allocate(tx, pool, owner, candidates, refuse)
        if number is None:
            raise Capacity(f"no number of {pool} is free")
        return number

    async def keep(self, write: Callable[[Transaction, tuple[UUID, str]], Awaitable[T]]) -> T:
        async with self._work.transaction("keep") as tx:
            return await write(tx, (self._record.install_id, self._record.name))

    async def place(self, target: str, needs: Needs, *, labels: Mapping[str, str]) -> str:
        owner = (self._record.install_id, self._record.name)
        async with self._work.transaction("place") as tx:
            server = await servers.place(tx, owner, target, needs, labels)
            if server:
                self._record.notes = await progress.note(tx, owner, {"server": server}, [])
        if server is None:
            raise Capacity(f"no server of {target} has room")
        return server

    async def leave(self) -> bool:
        async with self._work.transaction("leave") as tx:
            return await servers.leave(tx, (self._record.install_id, self._record.name))

    def _place(self, name: str) -> tuple[str, ...]:
        return values.place(self._record.install_id, self._record.name, "notes", name)


def sealed(value: Any, keys: KeyRing, place: tuple[str, ...]) -> Any:
    """The value with every SecretStr in it as ciphertext."""
    if isinstance(value, SecretStr):
        return {values.SEALED: keys.seal(value.get_secret_value(), place=place).ciphertext}
    if isinstance(value, Mapping):
        return {key: sealed(item, keys, place) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [sealed(item, keys, place) for item in value]
    return value


def unsealed(value: Any, keys: KeyRing, place: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping):
        if values.SEALED in value:
            return SecretStr(keys.open(Sealed(value[values.SEALED]), place=place))
        return {key: unsealed(item, keys, place) for key, item in value.items()}
    return [unsealed(item, keys, place) for item in value] if isinstance(value, list) else value


def _some_of(numbers: range, refuse: Collection[int]) -> list[int]:
    """Spread, so that two installs seldom want the same number; enough to meet a free one in a well-filled pool."""
    tried = random.sample(numbers, min(len(numbers), 200))
    return [number for number in tried if number not in refuse]
