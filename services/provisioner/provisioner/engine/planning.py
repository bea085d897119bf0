"""Which steps a job has: from the blueprint where something is made, from the records where it is kept or removed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from keyturn.events import uuid7
from provisioner.blueprints import Plan
from provisioner.domain import Action
from provisioner.records import Operation, Record, Step

PROBE = "probe"  # the last step of what makes or resumes an install: rule 9


@dataclass(frozen=True)
class Planned:
    name: str
    kind: str
    operation: Operation
    needs: tuple[str, ...] = ()


def making(action: Action, chosen: Mapping[str, Plan], records: Sequence[Record]) -> list[Planned]:
    """Ensure what the blueprint wants now, remove what it no longer wants, and probe."""
    there = {record.name: record for record in records if record.state != "gone"}
    wanted = {name: plan for name, plan in chosen.items() if _takes_part(action, plan, there.get(name))}
    ensures = [Planned(name, p.kind, "ensure", tuple(n for n in p.needs if n in wanted)) for name, p in wanted.items()]
    if action == "extend":
        return ensures
    surplus = [r for r in reversed(records) if r.state != "gone" and r.name not in chosen]
    removals = _unmaking(surplus, after=tuple(wanted))
    required = tuple(name for name, plan in wanted.items() if not plan.optional)
    return [*ensures, *removals, Planned(PROBE, PROBE, "probe", required)]


def _takes_part(action: Action, plan: Plan, record: Record | None) -> bool:
    """Optional resources are made by a job of their own; once there, they are kept with the rest."""
    there = record is not None and record.present_at is not None
    return (plan.optional and not there) if action == "extend" else (not plan.optional or there)


def suspending(records: Sequence[Record]) -> list[Planned]:
    """What others need is suspended after them."""
    standing = [r for r in records if r.state in {"present", "intended"}]
    return [Planned(r.name, r.kind, "suspend", tuple(_dependants(r, standing))) for r in reversed(standing)]


def resuming(records: Sequence[Record]) -> list[Planned]:
    """What a suspension was cut short in may be down, though it is written as present."""
    down = [r for r in records if r.state in {"suspended", "present"}]
    names = {r.name for r in down}
    steps = [Planned(r.name, r.kind, "resume", tuple(n for n in r.needs if n in names)) for r in down]
    return [*steps, Planned(PROBE, PROBE, "probe", tuple(r.name for r in down if not r.optional))]


def removing(records: Sequence[Record]) -> list[Planned]:
    return _unmaking([r for r in reversed(records) if r.state != "gone"])


def _unmaking(newest_first: Sequence[Record], after: tuple[str, ...] = ()) -> list[Planned]:
    return [Planned(r.name, r.kind, "destroy", (*after, *_dependants(r, newest_first))) for r in newest_first]


def _dependants(record: Record, among: Iterable[Record]) -> Iterable[str]:
    return [other.name for other in among if record.name in other.needs]


def rows(job_id: UUID, planned: Sequence[Planned], *, after: int = 0) -> list[Step]:
    return [
        Step(
            id=uuid7(),
            job_id=job_id,
            name=one.name,
            kind=one.kind,
            operation=one.operation,
            position=position,
            needs=list(one.needs),
        )
        for position, one in enumerate(planned, after)
    ]
