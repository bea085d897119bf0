"""`docker.container`: one container of an install, published on a port that our own table gives it. What must last
stands in volumes."""

from collections.abc import Mapping
from typing import Any, ClassVar

from provisioner.resources.docker import network, operating
from provisioner.resources.docker.bringing import Bringing, verdict_of
from provisioner.resources.docker.containers import Containers, PortTaken
from provisioner.resources.docker.hosts import PACE, TARGET, Docker, target_of
from provisioner.resources.docker.place import DockerPlace
from provisioner.resources.docker.spec import ContainerParameters, spec
from provisioner.resources.port import (
    Given,
    Gone,
    Health,
    Needs,
    Notes,
    Outputs,
    Pace,
    Permanent,
    Resource,
    Room,
    Server,
)

OTHERS_PORTS = 50  # so many ports of others are remembered
_REACHED = frozenset({"address", "host", "port", "url"})


class DockerContainer(Resource[ContainerParameters]):
    Parameters = ContainerParameters
    outputs = frozenset({"id", "name", "server"}) | _REACHED
    pace: ClassVar[Pace] = PACE
    shown = frozenset({"argv"})

    def __init__(self, given: Given[ContainerParameters], tools: Docker) -> None:
        super().__init__(given, tools)
        self._docker = tools

    @classmethod
    def promises(cls, parameters: Mapping[str, Any]) -> frozenset[str]:
        return cls.outputs if parameters.get("port") else cls.outputs - _REACHED

    @classmethod
    async def has_room(cls, parameters: Mapping[str, Any], room: Room, tools: Docker) -> bool:
        if "server" in parameters:
            return True  # a place says it
        said = {**parameters.get("limits", {}), "labels": parameters.get("labels", {})}
        return await DockerPlace.has_room({name: value for name, value in said.items() if name != "pids"}, room, tools)

    async def choose(self, notes: Notes) -> None:
        if self.parameters.server is None:
            needs = Needs(self.parameters.limits.memory, self.parameters.limits.cpus)
            await notes.place(TARGET, needs, labels=self.parameters.labels)

    async def target(self, notes: Notes) -> str:
        return target_of(self._server_name(notes))

    async def ensure(self, notes: Notes) -> Outputs:
        server = await self._docker.server(self._server_name(notes))
        port = await self._port(notes, server)
        if notes.get("suspended"):
            return self._outputs(server, port)
        while True:
            try:
                await self._bring(notes, server, port)
            except PortTaken:
                others = [*notes.get("refused", []), port][-OTHERS_PORTS:]
                await notes.save(refused=others)
                port = await self._port(notes, server)
            else:
                return self._outputs(server, port)

    async def probe(self, notes: Notes) -> Health:
        if notes.get("suspended"):
            return Health(ok=False, detail="suspended")
        containers = await self._containers(notes)
        found = await containers.look(containers.name)
        if found is None:
            return Health(ok=False, detail="the container is gone")
        verdict = await verdict_of(found, self.parameters.health, self._docker.client)
        return Health(ok=verdict == "well", detail="" if verdict == "well" else found.words())

    async def suspend(self, notes: Notes) -> None:
        """Stopped by us it stays stopped, whatever is restarted: the engine, or its host."""
        await notes.save(suspended=True)  # first, so that nothing starts it again behind our back
        if self._server_name(notes):
            containers = await self._containers(notes)
            for name in containers.all:
                if await containers.look(name):
                    await containers.stop(name, self.parameters.stop_seconds)

    async def resume(self, notes: Notes) -> None:
        await notes.save(suspended=None)
        await self.ensure(notes)

    async def destroy(self, notes: Notes) -> Gone:
        removed = False
        if self._server_name(notes):
            containers = await self._containers(notes)
            for name in containers.all:
                if await containers.look(name):
                    removed |= await containers.remove(name)
            if self.parameters.network is None:
                removed |= await network.remove(containers.engine, self.given)
        await notes.leave()
        return "deleted" if removed else "not_found"

    async def logs(self, notes: Notes, lines: int = operating.LINES) -> str:
        return await operating.logs(await self._containers(notes), lines)

    async def stats(self, notes: Notes) -> operating.Stats:
        return await operating.stats(await self._containers(notes))

    async def stop(self, notes: Notes) -> None:
        """Until somebody starts it: a suspension is another thing."""
        containers = await self._containers(notes)
        await containers.stop(containers.name, self.parameters.stop_seconds)

    async def start(self, notes: Notes) -> None:
        """Rule 15: what is suspended is not started by anybody."""
        if notes.get("suspended"):
            raise Permanent("the container is suspended")
        await self.ensure(notes)

    async def restart(self, notes: Notes) -> None:
        if notes.get("suspended"):
            raise Permanent("the container is suspended")
        await operating.restart(await self._containers(notes), self.parameters.stop_seconds)
        await self.ensure(notes)

    async def _bring(self, notes: Notes, server: Server, port: int | None) -> None:
        containers = Containers(self._docker.engine_of(server), self.given)
        if self.parameters.network is None:
            await network.make(containers.engine, self.given)
        wanted = spec(
            self.parameters,
            self.parameters.network or self.given.slug,
            (server.publish_on, port) if port else None,
            self.given.name.replace("_", "-"),
        )
        await Bringing(containers, self.parameters, notes, self._docker.client).to(wanted)

    def _server_name(self, notes: Notes) -> str:
        """Empty where it has none yet."""
        return self.parameters.server or str(notes.get("server", ""))

    async def _containers(self, notes: Notes) -> Containers:
        return Containers(await self._docker.engine(self._server_name(notes)), self.given)

    async def _port(self, notes: Notes, server: Server) -> int | None:
        if self.parameters.port is None:
            return None
        return await notes.allocate(f"docker:{server.name}", self._docker.ports, refuse=notes.get("refused", []))

    def _outputs(self, server: Server, port: int | None) -> Outputs:
        found: dict[str, Any] = {
            "id": f"{server.name}/{self.given.slug}",
            "name": self.given.slug,
            "server": server.name,
        }
        if port:
            address = f"{server.publish_on}:{port}"
            found |= {"address": address, "host": server.publish_on, "port": port, "url": f"http://{address}"}
        return found
