"""From whatever a crash or a change of plan has left to one container as it is wanted, running and well.

A running one gets new limits as it is. Where only a new container will do, the old one is stopped and kept under
another name until the new one is well, and comes back where that does not happen.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

import httpx

from provisioner.resources.docker.containers import Container, Containers, PortTaken, Verdict
from provisioner.resources.docker.spec import ContainerParameters, Health, Spec
from provisioner.resources.port import Notes, NotReady, Permanent, Transient

WITHIN = 3.0  # seconds: who takes longer to be well is waited for without a worker


@dataclass(frozen=True)
class Bringing:
    containers: Containers
    parameters: ContainerParameters
    notes: Notes
    client: httpx.AsyncClient

    async def to(self, wanted: Spec) -> None:
        """Raises `PortTaken`."""
        await self._own_volumes()
        current, old = await self._made(wanted)
        stopped = current.lacks(wanted.limits) and await self._limit(wanted)
        if stopped or not current.running:
            await self.containers.start()
        await self._settle(old)

    async def _made(self, wanted: Spec) -> tuple[Container, Container | None]:
        """The container as it is wanted, and the one that it replaces."""
        containers, name, kept = self.containers, self.containers.name, self.containers.old
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

    async def _own_volumes(self) -> None:
        """Once for each, where we can tell whose: later the application may have chosen other rights."""
        user, _, group = self.parameters.user.partition(":")
        owned = self.notes.get("owned", [])
        new = {path: name for path, name in self.parameters.volumes.items() if name not in owned}
        if new and user.isdigit() and group.isdigit():
            await self.containers.own(self.parameters.image, new, (int(user), int(group)))
            await self.notes.save(owned=sorted(self.parameters.volumes.values()))

    async def _limit(self, wanted: Spec) -> bool:
        """Whether it had to be stopped for it: more may be in use than is allowed from now on."""
        if await self.containers.limit(wanted.limits):
            return False
        await self.containers.stop(self.containers.name, self.parameters.stop_seconds)
        if not await self.containers.limit(wanted.limits):
            raise Permanent("the container cannot be given these limits")
        return True

    async def _settle(self, old: Container | None) -> None:
        """Wait until it is well. Raises `NotReady` where that takes its time, and `Permanent` where the one before runs
        again instead."""
        deadline = monotonic() + WITHIN
        while True:
            found = await self.containers.claim(self.containers.name)
            verdict = await verdict_of(found, self.parameters.health, self.client) if found else "unwell"
            if verdict == "well" and old:
                await self.containers.remove(self.containers.old)
            if verdict == "well":
                return
            words = found.words() if found else "the container is gone"
            if verdict == "unwell" and old:
                await self._restore()
                raise Permanent(f"{words}; the one before it runs again")
            if verdict == "unwell" or monotonic() > deadline:
                raise NotReady(words, after=timedelta(seconds=3))
            await asyncio.sleep(0.1)

    async def _restore(self) -> None:
        containers = self.containers
        await containers.remove(containers.name)
        await containers.rename(containers.old, containers.name)
        try:
            await containers.start()
        except PortTaken:
            raise Transient("the port of the container was taken while it was stopped") from None


async def verdict_of(found: Container, health: Health | None, client: httpx.AsyncClient) -> Verdict:
    """As far as the engine knows, and where it is we who ask, what it answers."""
    verdict = found.verdict()
    if verdict != "well" or health is None or health.path is None or await _answers(found, health, client):
        return verdict
    patience = health.start_period + health.interval * health.retries
    return "starting" if found.age() < patience else "unwell"


async def _answers(found: Container, health: Health, client: httpx.AsyncClient) -> bool:
    bound = next(iter((found.inspected["NetworkSettings"]["Ports"] or {}).values()), None)
    if not bound:
        return False
    address = f"http://{bound[0]['HostIp']}:{bound[0]['HostPort']}{health.path}"
    headers = {"accept-encoding": "identity", "x-forwarded-proto": "https"}
    if health.host:
        headers["host"] = health.host
    try:
        async with client.stream("GET", address, headers=headers, timeout=health.timeout) as answer:
            return 200 <= answer.status_code < 400
    except httpx.HTTPError:
        return False
