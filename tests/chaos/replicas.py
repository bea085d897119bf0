"""Two processes of each service behind one address each, as `sandbox.system` wants a host."""

import asyncio
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack

from sandbox.ports import free_port
from sandbox.postgres import SERVICES
from support.forks import Forks
from support.proxy import Proxy

BOTH = (1, 2)
ALL = tuple(f"{service}-{number}" for service in SERVICES for number in BOTH)


class Replicas:
    """`provisioner-2` is a process; whoever asks the service is passed on to either of its two."""

    def __init__(self, forks: Forks, stack: AsyncExitStack) -> None:
        self.forks = forks
        self.fronts: dict[str, Proxy] = {}
        self.ports: dict[str, int] = {}
        self.down: set[str] = set()  # those that the run has killed and not started again
        self._environments: dict[str, Mapping[str, str]] = {}
        self._stack = stack

    async def start(self, name: str, environment: Mapping[str, str]) -> None:
        variable = "PORT" if name == "gateway" else f"{name.upper()}_PORT"
        for number in BOTH:
            replica = f"{name}-{number}"
            self.ports[replica] = free_port()
            self._environments[replica] = {**environment, variable: str(self.ports[replica])}
            await self.launch(replica)
        targets = [f"127.0.0.1:{self.ports[f'{name}-{number}']}" for number in BOTH]
        front = Proxy(*targets, port=int(environment[variable]))
        self.fronts[name] = await self._stack.enter_async_context(front)

    async def stop(self, name: str) -> None:
        await asyncio.gather(*(self.forks.stop(f"{name}-{number}") for number in BOTH))

    async def launch(self, replica: str) -> None:
        await self.forks.start(replica, self._environments[replica])
        self.down.discard(replica)

    async def kill(self, replica: str) -> None:
        self.down.add(replica)
        await self.forks.kill(replica)

    def signal(self, replica: str, number: signal.Signals) -> None:
        self.forks.signal(replica, number)

    def died(self) -> list[str]:
        return [name for name in self.forks.died() if name not in self.down]
