"""`dns.zone` and `dns.records`: at PowerDNS's API, and asked for over DNS.

What is made carries its owner's mark: by it it is found again after a crash, and by it what is somebody else's is told
apart, which is neither overwritten nor deleted. Between installs of ours a row that only one can hold decides.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from keyturn.clock import Clock
from provisioner.resources.dns_asking import Asking, NoAnswer
from provisioner.resources.dns_names import Domain, HostName, RecordName, content, is_below
from provisioner.resources.dns_powerdns import Owner, RecordSet, Server
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
        await _hold(notes, f"dns.zone {name}", f"the zone {name}")
        if not await self._is_ours():
            nameservers = self.parameters.nameservers or self._tools.nameservers
            if not nameservers:
                raise NeedsOperator("who serves a new zone is not said: DNS_NAMESERVERS")
            await self._tools.server.create_zone(name, nameservers, self._owner.account)
            await self._is_ours()  # somebody else may have been faster
        return {"name": name}

    async def probe(self, notes: Notes) -> Health:  # noqa: ARG002 - the parameters say it
        return await _answered(self._tools.authority, [(self.parameters.name, "SOA", None)])

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


Several = Field(min_length=1, max_length=50)


class _Record(Parameters):
    """One set: all values of a name and type. `name` may begin with `*.`"""

    name: RecordName
    ttl: int = Field(default=300, ge=30, le=86_400)


class A(_Record):
    type: Literal["A"]
    values: list[Annotated[str, AfterValidator(partial(content, "A"))]] = Several


class AAAA(_Record):
    type: Literal["AAAA"]
    values: list[Annotated[str, AfterValidator(partial(content, "AAAA"))]] = Several


class CNAME(_Record):
    type: Literal["CNAME"]
    values: list[Annotated[str, AfterValidator(partial(content, "CNAME"))]] = Field(min_length=1, max_length=1)


class MX(_Record):
    type: Literal["MX"]
    values: list[Annotated[str, AfterValidator(partial(content, "MX"))]] = Several


class TXT(_Record):
    type: Literal["TXT"]
    values: list[Annotated[str, AfterValidator(partial(content, "TXT"))]] = Several


Record = Annotated[A | AAAA | CNAME | MX | TXT, Field(discriminator="type")]


class RecordsParameters(Parameters):
    """Record sets in one zone, which may be an operator's own. All of them are written at once."""

    zone: Domain
    records: list[Record] = Field(min_length=1, max_length=50)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        keys = [(one.name, one.type) for one in self.records]
        if not all(is_below(name, self.zone) for name, _ in keys):
            raise ValueError("a record is not in the zone")
        if len(set(keys)) < len(keys):
            raise ValueError("a name and type is there twice: give it several values")
        aliases = [name for name, kind in keys if kind == "CNAME"]
        if any(name == self.zone or [each for each, _ in keys].count(name) > 1 for name in aliases):
            raise ValueError("a CNAME stands alone, and not at the zone's own name")
        return self

    def sets(self) -> list[RecordSet]:
        return [RecordSet(one.name, one.type, one.ttl, frozenset(one.values)) for one in self.records]


class Records(Resource[RecordsParameters]):
    Parameters = RecordsParameters
    outputs = frozenset({"name"})  # of the first
    pace: ClassVar[Pace] = PACE

    def __init__(self, given: Given[RecordsParameters], tools: Dns) -> None:
        super().__init__(given, tools)
        self._tools = tools
        self._owner = Owner.of(given)

    async def ensure(self, notes: Notes) -> Outputs:
        zone, wanted = self.parameters.zone, self.parameters.sets()
        if (old := notes.get("zone")) not in {None, zone}:
            await self._remove(old, _keys(notes))
            await notes.save(sets=None)
        keys = [one.key for one in wanted]
        await notes.save(zone=zone, sets=sorted({*_keys(notes), *keys}))  # whatever happens next: these may be there
        for name, kind in keys:
            await _hold(notes, f"dns.{kind} {name}", f"the {kind} record {name}")
        await self._check_zone()
        found = await self._found(zone, [*keys, *_keys(notes)])
        changed = [one for one in wanted if not _there(found.get(one.key), one, self._owner)]
        await self._tools.server.write(zone, changed, self._owner, self._surplus(found, keys))
        await notes.save(sets=sorted(keys))
        return {"name": self.parameters.records[0].name}

    async def probe(self, notes: Notes) -> Health:  # noqa: ARG002 - the parameters say it
        asked = [(one.name, one.type, one.contents) for one in self.parameters.sets()]
        return await _answered(self._tools.authority, asked)

    async def destroy(self, notes: Notes) -> Gone:
        zone = notes.get("zone") or self.parameters.zone
        return "deleted" if await self._remove(zone, _keys(notes)) else "not_found"

    async def _check_zone(self) -> None:
        """One without a mark is the operator's, and takes our records; another install's does not."""
        zone = self.parameters.zone
        account = await self._tools.server.account(zone)
        if account is None:
            raise NeedsOperator(f"the DNS server has no zone {zone}")
        if account.startswith("keyturn:") and account != self._owner.account:
            raise Permanent(f"the zone {zone} is another install's")

    async def _found(self, zone: str, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], RecordSet]:
        keys = set(keys)
        found: dict[tuple[str, str], RecordSet] = {}
        for name in sorted({name for name, _ in keys}):
            sets = await self._tools.server.sets(zone, name)
            found |= {(name, kind): one for kind, one in sets.items() if (name, kind) in keys}
        return found

    def _surplus(
        self, found: dict[tuple[str, str], RecordSet], keys: Sequence[tuple[str, str]]
    ) -> list[tuple[str, str]]:
        return [key for key, one in found.items() if key not in keys and self._owner.has(one)]

    async def _remove(self, zone: str, keys: Sequence[tuple[str, str]]) -> bool:
        found = await self._found(zone, keys)
        ours = self._surplus(found, [])
        await self._tools.server.write(zone, [], self._owner, ours)
        return bool(ours)


def _keys(notes: Notes) -> list[tuple[str, str]]:
    return [(name, kind) for name, kind in notes.get("sets", [])]


def _there(found: RecordSet | None, wanted: RecordSet, owner: Owner) -> bool:
    """Whether it is as it should be. Raises `Permanent` where it is somebody else's."""
    if found is None:
        return False
    if not owner.has(found):
        raise Permanent(f"the {wanted.type} record {wanted.name} is somebody else's, and is left as it is")
    return found.same_as(wanted)


async def _hold(notes: Notes, pool: str, what: str) -> None:
    try:
        await notes.allocate(pool, ONE)
    except Capacity:
        raise Permanent(f"{what} is another install's") from None


async def _answered(authority: Asking, questions: Sequence[tuple[str, str, frozenset[str] | None]]) -> Health:
    """Whether the server says over DNS what it should."""
    try:
        said = await asyncio.gather(*(authority.ask(name, kind) for name, kind, _ in questions))
    except NoAnswer as error:
        return Health(ok=False, detail=str(error))
    for (name, kind, wanted), contents in zip(questions, said, strict=True):
        if not contents or (wanted is not None and contents != wanted):
            return Health(ok=False, detail=f"the DNS server does not say the {kind} record {name}")
    return Health(ok=True)
