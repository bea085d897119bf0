"""`dns.zone`: at PowerDNS's API, and asked for over DNS; and what it has in common with `dns.records`.

What is made carries its owner's mark: by it it is found again after a crash, and by it what is somebody else's is told
apart, which is neither overwritten nor deleted. Between installs of ours a row that only one can hold decides.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from keyturn.clock import Clock
from provisioner.resources.dns_asking import Asking, NoAnswer
from provisioner.resources.dns_names import Domain, HostName
from provisioner.resources.dns_powerdns import Owner, Server
from provisioner.resources.port import (
    Capacity,
    Given,
    Gone,
    Health,
    NeedsOperator,
    Notes,
    Outputs,
    Pace,
    Parameters,
    Permanent,
    Resource,
)

ONE = range(1)  # a pool with a single number: whoever holds it has the name
PACE = Pace(together=8, failures=10, pause=timedelta(seconds=10))


@dataclass(frozen=True)
class Dns:
    """`authority`: who is asked over DNS what the server really says; `resolver`: who, about other people's names.
    `nameservers`: of new zones."""

    server: Server
    authority: Asking
    resolver: Asking
    clock: Clock
    nameservers: tuple[str, ...] = ()


class ZoneParameters(Parameters):
    """`nameservers`: who serves it; those of the settings where none are said."""

    name: Domain
    nameservers: list[HostName] = Field(default_factory=list, max_length=10)


class Zone(Resource[ZoneParameters]):
    Parameters = ZoneParameters
    outputs = frozenset({"name"})
    pace: ClassVar[Pace] = PACE

    def __init__(self, given: Given[ZoneParameters], tools: Dns) -> None:
        super().__init__(given, tools)
        self._tools = tools
        self._owner = Owner.of(given)

    async def ensure(self, notes: Notes) -> Outputs:
        name = self.parameters.name
        if (old := notes.get("name")) not in {None, name}:
            await self._remove(old)
        await notes.save(name=name)
        await hold(notes, f"dns.zone {name}", f"the zone {name}")
        if not await self._is_ours():
            nameservers = self.parameters.nameservers or self._tools.nameservers
            if not nameservers:
                raise NeedsOperator("who serves a new zone is not said: DNS_NAMESERVERS")
            await self._tools.server.create_zone(name, nameservers, self._owner.account)
            await self._is_ours()  # somebody else may have been faster
        return {"name": name}

    async def probe(self, notes: Notes) -> Health:  # noqa: ARG002 - the parameters say it
        return await answered(self._tools.authority, [(self.parameters.name, "SOA", None)])

    async def destroy(self, notes: Notes) -> Gone:
        return "deleted" if await self._remove(notes.get("name") or self.parameters.name) else "not_found"

    async def _remove(self, name: str) -> bool:
        if await self._tools.server.account(name) != self._owner.account:
            return False
        return await self._tools.server.delete_zone(name)

    async def _is_ours(self) -> bool:
        """False where there is none."""
        name = self.parameters.name
        account = await self._tools.server.account(name)
        if account not in {None, self._owner.account}:
            raise Permanent(f"the zone {name} is somebody else's at the DNS server, and is left as it is")
        return account is not None


async def hold(notes: Notes, pool: str, what: str) -> None:
    try:
        await notes.allocate(pool, ONE)
    except Capacity:
        raise Permanent(f"{what} is another install's") from None


async def answered(authority: Asking, questions: Sequence[tuple[str, str, frozenset[str] | None]]) -> Health:
    """Whether the server says over DNS what it should."""
    try:
        said = await asyncio.gather(*(authority.ask(name, kind) for name, kind, _ in questions))
    except NoAnswer as error:
        return Health(ok=False, detail=str(error))
    for (name, kind, wanted), contents in zip(questions, said, strict=True):
        if not contents or (wanted is not None and contents != wanted):
            return Health(ok=False, detail=f"the DNS server does not say the {kind} record {name}")
    return Health(ok=True)
