"""`dns.records`: record sets in a zone at PowerDNS's API, which may be an operator's own."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from provisioner.resources.dns import PACE, Dns, answered, hold
from provisioner.resources.dns_names import Domain, RecordName, content, is_below
from provisioner.resources.dns_powerdns import Owner, RecordSet
from provisioner.resources.port import (
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
            await hold(notes, f"dns.{kind} {name}", f"the {kind} record {name}")
        await self._check_zone()
        found = await self._found(zone, [*keys, *_keys(notes)])
        changed = [one for one in wanted if not _there(found.get(one.key), one, self._owner)]
        await self._tools.server.write(zone, changed, self._owner, self._surplus(found, keys))
        await notes.save(sets=sorted(keys))
        return {"name": self.parameters.records[0].name}

    async def probe(self, notes: Notes) -> Health:  # noqa: ARG002 - the parameters say it
        asked = [(one.name, one.type, one.contents) for one in self.parameters.sets()]
        return await answered(self._tools.authority, asked)

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
