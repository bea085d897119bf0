"""What the kinds of Docker are given: the engines of our servers, and the ports that containers are published on."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import httpx

from keyturn.http import new_client
from provisioner.resources.docker.engine import Engine
from provisioner.resources.docker.registries import Registries
from provisioner.resources.port import NeedsOperator, Pace, Server, Servers

TARGET = "docker"
SERVER = r"^[a-z0-9][a-z0-9-]{0,31}$"
PACE = Pace(together=8, failures=20, pause=timedelta(seconds=10))
_SOCKET = re.compile(r"unix://(/[A-Za-z0-9._/-]{1,100})")


def connect(address: str) -> httpx.AsyncClient:
    """Raises `NeedsOperator` for what is no address of an engine."""
    found = _SOCKET.fullmatch(address)
    if not found:
        raise NeedsOperator("the address of an engine looks like unix:///var/run/docker.sock")
    return new_client(base_url="http://docker", transport=httpx.AsyncHTTPTransport(uds=found[1], retries=1))


@dataclass
class Docker:
    """`client`: for what is asked of containers themselves."""

    servers: Servers
    ports: range
    client: httpx.AsyncClient
    registries: Registries = field(default_factory=Registries)
    connect: Callable[[str], httpx.AsyncClient] = connect
    _engines: dict[tuple[str, str], Engine] = field(default_factory=dict)

    async def server(self, name: str) -> Server:
        """Raises `NeedsOperator` where it is none of ours."""
        return await self.servers.find(TARGET, name)

    async def engine(self, name: str) -> Engine:
        return self.engine_of(await self.server(name))

    def engine_of(self, server: Server) -> Engine:
        key = (server.name, server.address)
        if key not in self._engines:
            self._engines[key] = Engine(server.name, self.connect(server.address), self.registries)
        return self._engines[key]

    async def close(self) -> None:
        for engine in self._engines.values():
            await engine.close()


def target_of(server: str) -> str:
    """What pace, limits and breaker count by."""
    return f"{TARGET}:{server}"
