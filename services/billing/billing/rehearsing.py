"""One customer's part of a run: work as everywhere else, whose effects are told; or undone, where it is a dry run."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from typing import Any, Self, cast
from uuid import UUID

from billing.providers import QUESTIONS, PaymentProvider
from billing.repository.runs import note_part
from keyturn.database import Transaction
from keyturn.events import Envelope, Event, uuid7
from keyturn.work import Work


class Enough(Exception):
    """A dry run knows the first thing that would be done; what would follow from it, nobody can know."""


class _Undone(Exception):
    pass


@dataclass
class Part(Work):
    """Does its work through `transaction`, as all work does. `did`: the facts told and the work asked for."""

    run_id: UUID = field(default_factory=uuid7)
    customer: str = ""
    dry_run: bool = False
    did: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, work: Work, run_id: UUID, customer: str, *, dry_run: bool) -> Self:
        """`key` is from here on what the work of a single customer expects."""
        given: dict[str, Any] = {one.name: getattr(work, one.name) for one in fields(Work)}
        return cls(**given | {"key": customer.rpartition(" ")[2]}, run_id=run_id, customer=customer, dry_run=dry_run)

    @asynccontextmanager
    async def labelled(
        self, label: str, *, finish: bool, hold: bool = True, cause: Event | Envelope | None = None
    ) -> AsyncIterator[Transaction]:
        if not self.dry_run:
            async with super().labelled(label, finish=finish, hold=hold, cause=cause) as tx:
                yield tx
                self.did += tx.effects
                if finish:
                    await note_part(tx, self.run_id, self.customer, self.did)
            return
        try:
            async with super().labelled(label, finish=False, hold=hold, cause=cause) as tx:
                yield tx
                effects = tx.effects
                await tx.finish()  # what the database refuses, it refuses now
                raise _Undone  # noqa: TRY301 - rolls the transaction back
        except _Undone:
            self.did += effects
        if effects and not finish:
            raise Enough


class Asked:
    """A provider in a dry run: answers questions, and does nothing."""

    def __init__(self, provider: PaymentProvider, part: Part) -> None:
        self._provider = provider
        self._part = part

    def __getattr__(self, name: str) -> Any:
        if name in QUESTIONS:
            return getattr(self._provider, name)

        async def would(*_: object, **__: object) -> None:
            self._part.did.append(f"{self._provider.name}: {name}")
            raise Enough

        return would


def questions_only(providers: Mapping[str, PaymentProvider], part: Part) -> dict[str, PaymentProvider]:
    return {name: cast("PaymentProvider", Asked(provider, part)) for name, provider in providers.items()}
