"""`docker.place`: room for an install on one of our servers, the least loaded that has it. The rest refers to it."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, ValidationError

from provisioner.resources.docker.hosts import PACE, TARGET, Docker, target_of
from provisioner.resources.port import (
    Given,
    Gone,
    Health,
    Needs,
    NeedsOperator,
    Notes,
    Outputs,
    Pace,
    Parameters,
    Resource,
    Room,
)

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def _bytes(said: object) -> object:
    """`512M` as a number."""
    if isinstance(said, str) and said and said[-1].upper() in _UNITS and said[:-1].isascii() and said[:-1].isdigit():
        return int(said[:-1]) * _UNITS[said[-1].upper()]
    return said


Size = Annotated[int, BeforeValidator(_bytes), Field(ge=6 * 1024**2, le=16 * 1024**4)]
Cpus = Annotated[float, Field(ge=0.01, le=512)]
LabelName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


class PlaceParameters(Parameters):
    """`labels`: those that the server must have."""

    memory: Size
    cpus: Cpus
    labels: dict[LabelName, str] = Field(default_factory=dict)


class DockerPlace(Resource[PlaceParameters]):
    Parameters = PlaceParameters
    outputs = frozenset({"server"})
    pace: ClassVar[Pace] = PACE

    def __init__(self, given: Given[PlaceParameters], tools: Docker) -> None:
        super().__init__(given, tools)
        self._docker = tools

    @classmethod
    async def has_room(cls, parameters: Mapping[str, Any], room: Room, tools: Docker) -> bool:  # noqa: ARG003
        try:
            wanted = PlaceParameters.model_validate(parameters)
        except ValidationError:
            return True  # it hangs on the order
        return await room.server(TARGET, Needs(wanted.memory, wanted.cpus), wanted.labels)

    async def choose(self, notes: Notes) -> None:
        needs = Needs(self.parameters.memory, self.parameters.cpus)
        await notes.place(TARGET, needs, labels=self.parameters.labels)

    async def target(self, notes: Notes) -> str:
        return target_of(str(notes.get("server", "")))

    async def ensure(self, notes: Notes) -> Outputs:
        return {"server": (await self._docker.server(str(notes.get("server")))).name}

    async def probe(self, notes: Notes) -> Health:
        try:
            await self._docker.server(str(notes.get("server")))
        except NeedsOperator as error:
            return Health(ok=False, detail=str(error))
        return Health(ok=True)

    async def destroy(self, notes: Notes) -> Gone:
        return "deleted" if await notes.leave() else "not_found"
