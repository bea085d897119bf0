"""`docker.volume`: the data of an install. It outlives its containers, and goes when the install is deleted."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import Field

from provisioner.resources.docker import marks
from provisioner.resources.docker.engine import Engine
from provisioner.resources.docker.hosts import PACE, SERVER, Docker, target_of
from provisioner.resources.port import (
    Given,
    Gone,
    Health,
    Notes,
    NotReady,
    Outputs,
    Pace,
    Parameters,
    Resource,
)


class VolumeParameters(Parameters):
    server: str = Field(pattern=SERVER)


class DockerVolume(Resource[VolumeParameters]):
    Parameters = VolumeParameters
    outputs = frozenset({"name", "server"})
    pace: ClassVar[Pace] = PACE

    def __init__(self, given: Given[VolumeParameters], tools: Docker) -> None:
        super().__init__(given, tools)
        self._docker = tools

    async def target(self, notes: Notes) -> str:  # noqa: ARG002 - the blueprint says where
        return target_of(self.parameters.server)

    async def ensure(self, notes: Notes) -> Outputs:  # noqa: ARG002 - its name says all
        engine, name = await self._engine(), self.given.slug
        body = {"Name": name, "Labels": marks.labels(self.given)}
        # An engine says that it made one that was there already, and shows it with the labels that it had.
        found = (
            await self._found(engine)
            or (await engine.change("volume.create", "POST", "volumes", "create", body=body, expect={201})).json()
        )
        marks.must_be_ours(self.given, "volume", found["Labels"])
        return {"name": name, "server": self.parameters.server}

    async def probe(self, notes: Notes) -> Health:  # noqa: ARG002
        found = await self._found(await self._engine())
        there = found is not None and marks.ours(self.given, found["Labels"])
        return Health(ok=there, detail="" if there else "the volume is gone")

    async def destroy(self, notes: Notes) -> Gone:  # noqa: ARG002
        engine = await self._engine()
        found = await self._found(engine)
        if found is None or not marks.ours(self.given, found["Labels"]):
            return "not_found"
        answer = await engine.change("volume.remove", "DELETE", "volumes", self.given.slug, expect={204, 404, 409})
        if answer.status == 409:
            raise NotReady("a container still uses the volume", after=timedelta(seconds=5))
        return "deleted" if answer.status == 204 else "not_found"

    async def _found(self, engine: Engine) -> Mapping[str, Any] | None:
        answer = await engine.ask("GET", "volumes", self.given.slug, expect={200, 404})
        found: Mapping[str, Any] | None = answer.json() if answer.status == 200 else None
        return found

    async def _engine(self) -> Engine:
        return await self._docker.engine(self.parameters.server)
