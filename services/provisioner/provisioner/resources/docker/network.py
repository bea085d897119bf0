"""`docker.network`: a network of an install's own, so that tenants cannot talk to each other."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import Field

from provisioner.resources.docker import marks
from provisioner.resources.docker.engine import Engine
from provisioner.resources.docker.hosts import PACE, SERVER, Docker, target_of
from provisioner.resources.port import (
    Capacity,
    Given,
    Gone,
    Health,
    Notes,
    NotReady,
    Outputs,
    Pace,
    Parameters,
    Resource,
    Transient,
)


class NetworkParameters(Parameters):
    server: str = Field(pattern=SERVER)


async def find(engine: Engine, name: str) -> Mapping[str, Any] | None:
    answer = await engine.ask("GET", "networks", name, expect={200, 404})
    found: Mapping[str, Any] | None = answer.json() if answer.status == 200 else None
    return found if found and found["Name"] == name else None  # it may have been found by the beginning of an id


async def make(engine: Engine, given: Given[Any]) -> None:
    """Once. Raises `Capacity` where the engine has no addresses left for another one."""
    for _ in range(2):
        if found := await find(engine, given.slug):
            marks.must_be_ours(given, "network", found["Labels"])
            return
        body = {"Name": given.slug, "CheckDuplicate": True, "Driver": "bridge", "Labels": marks.labels(given)}
        answer = await engine.change(
            "network.create", "POST", "networks", "create", body=body, expect={201, 400, 403, 404, 409, 500}
        )
        if answer.status == 201:
            return
        if "address pool" in answer.words or "subnet" in answer.words:
            raise Capacity(f"{engine.name} has no addresses left for another network: see default-address-pools")
        if answer.status != 409:
            raise engine.refusal(answer)
    raise Transient(f"{engine.name} says that the network is there, and does not show it")


async def remove(engine: Engine, given: Given[Any]) -> bool:
    """False where there is none of ours. Raises `NotReady` while something is in it."""
    found = await find(engine, given.slug)
    if found is None or not marks.ours(given, found["Labels"]):
        return False
    answer = await engine.change("network.remove", "DELETE", "networks", given.slug, expect={204, 403, 404, 409})
    if answer.status in {403, 409}:
        raise NotReady("a container is still in the network", after=timedelta(seconds=5))
    return answer.status == 204


class DockerNetwork(Resource[NetworkParameters]):
    Parameters = NetworkParameters
    outputs = frozenset({"name", "server"})
    pace: ClassVar[Pace] = PACE

    def __init__(self, given: Given[NetworkParameters], tools: Docker) -> None:
        super().__init__(given, tools)
        self._docker = tools

    async def target(self, notes: Notes) -> str:  # noqa: ARG002 - the blueprint says where
        return target_of(self.parameters.server)

    async def ensure(self, notes: Notes) -> Outputs:  # noqa: ARG002 - its name says all
        await make(await self._engine(), self.given)
        return {"name": self.given.slug, "server": self.parameters.server}

    async def probe(self, notes: Notes) -> Health:  # noqa: ARG002
        found = await find(await self._engine(), self.given.slug)
        there = found is not None and marks.ours(self.given, found["Labels"])
        return Health(ok=there, detail="" if there else "the network is gone")

    async def destroy(self, notes: Notes) -> Gone:  # noqa: ARG002
        return "deleted" if await remove(await self._engine(), self.given) else "not_found"

    async def _engine(self) -> Engine:
        return await self._docker.engine(self.parameters.server)
