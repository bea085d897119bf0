"""`docker.container`: one container of an install, published on a port that our own table gives it.

A running one gets new limits as it is. Where only a new container will do, the old one is stopped and kept under
another name until the new one is well, and comes back where that does not happen. What must last stands in volumes.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from time import monotonic
from typing import Any, ClassVar

import httpx

from provisioner.resources.docker import network, operating
from provisioner.resources.docker.containers import Container, Containers, PortTaken, Verdict
from provisioner.resources.docker.hosts import PACE, TARGET, Docker, target_of
from provisioner.resources.docker.place import DockerPlace
from provisioner.resources.docker.spec import ContainerParameters, Spec, spec
from provisioner.resources.port import (
    Given,
    Gone,
    Health,
    Needs,
    Notes,
    NotReady,
    Outputs,
    Pace,
    Permanent,
    Resource,
    Room,
    Server,
    Transient,
)

WITHIN = 3.0  # seconds: who takes longer to be well is waited for without a worker
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
        verdict = await self._verdict(found)
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
        """Whatever a crash has left behind, one container as it is wanted, running and well."""
        engine = self._docker.engine_of(server)
        if self.parameters.network is None:
            await network.make(engine, self.given)
        wanted = spec(
            self.parameters,
            self.parameters.network or self.given.slug,
            (server.publish_on, port) if port else None,
            self.given.name.replace("_", "-"),
        )
        containers = Containers(engine, self.given)
        await self._own_volumes(notes, containers)
        current, old = await self._made(containers, wanted)
        if current.lacks(wanted.limits):
            await self._limit(containers, wanted)
        if not current.running:
            await containers.start()
        await self._settle(containers, old)

    async def _made(self, containers: Containers, wanted: Spec) -> tuple[Container, Container | None]:
        """The container as it is wanted, and the one that it replaces."""
        name, kept = containers.name, containers.old
        current, old = await containers.claim(name), await containers.claim(kept)
        if current and current.sha256 != wanted.sha256:
            if old or current.never_ran:  # nobody has seen it well
                await containers.remove(name)
            else:
                await containers.stop(name, self.parameters.stop_seconds)
                await containers.rename(name, kept)
                old = await containers.claim(kept)
            current = None
        if current is None and old and old.sha256 == wanted.sha256:
            await containers.rename(kept, name)
            current, old = await containers.claim(name), None
        return current or await containers.create(wanted), old

    async def _own_volumes(self, notes: Notes, containers: Containers) -> None:
        """Once for each, where we can tell whose: later the application may have chosen other rights."""
        user, _, group = self.parameters.user.partition(":")
        owned = notes.get("owned", [])
        new = {path: name for path, name in self.parameters.volumes.items() if name not in owned}
        if new and user.isdigit() and group.isdigit():
            await containers.own(self.parameters.image, new, (int(user), int(group)))
            await notes.save(owned=sorted(self.parameters.volumes.values()))

    async def _limit(self, containers: Containers, wanted: Spec) -> None:
        if not await containers.limit(wanted.limits):
            await containers.stop(containers.name, self.parameters.stop_seconds)
            if not await containers.limit(wanted.limits):
                raise Permanent("the container cannot be given these limits")

    async def _settle(self, containers: Containers, old: Container | None) -> None:
        """Wait until it is well. Raises `NotReady` where that takes its time, and `Permanent` where the one before runs
        again instead."""
        deadline = monotonic() + WITHIN
        while True:
            found = await containers.claim(containers.name)
            verdict = await self._verdict(found) if found else "unwell"
            if verdict == "well" and old:
                await containers.remove(containers.old)
            if verdict == "well":
                return
            words = found.words() if found else "the container is gone"
            if verdict == "unwell" and old:
                await self._restore(containers)
                raise Permanent(f"{words}; the one before it runs again")
            if verdict == "unwell" or monotonic() > deadline:
                raise NotReady(words, after=timedelta(seconds=3))
            await asyncio.sleep(0.1)

    async def _restore(self, containers: Containers) -> None:
        await containers.remove(containers.name)
        await containers.rename(containers.old, containers.name)
        try:
            await containers.start()
        except PortTaken:
            raise Transient("the port of the container was taken while it was stopped") from None

    async def _verdict(self, found: Container) -> Verdict:
        verdict, health = found.verdict(), self.parameters.health
        if verdict != "well" or health is None or health.path is None or await self._answers(found):
            return verdict
        patience = health.start_period + health.interval * health.retries
        return "starting" if found.age() < patience else "unwell"

    async def _answers(self, found: Container) -> bool:
        health = self.parameters.health
        bound = next(iter((found.inspected["NetworkSettings"]["Ports"] or {}).values()), None)
        if health is None or not bound:
            return False
        address = f"http://{bound[0]['HostIp']}:{bound[0]['HostPort']}{health.path}"
        headers = {"accept-encoding": "identity", "x-forwarded-proto": "https"}
        if health.host:
            headers["host"] = health.host
        try:
            async with self._docker.client.stream("GET", address, headers=headers, timeout=health.timeout) as answer:
                return 200 <= answer.status_code < 400
        except httpx.HTTPError:
            return False

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
