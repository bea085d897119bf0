"""What both payment stand-ins share: a server, webhooks, faults, and a file to survive a restart."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from fastapi import FastAPI

from keyturn.clock import Clock, SystemClock
from sandbox.delivery import Endpoint, Rules, Sign, Webhooks
from sandbox.faults import Faults
from sandbox.loopback import Loopback

TICK_SECONDS = 0.25


class StandIn:
    """Start it with `async with`; `url` is known before that. State is in memory, and in `state_file` where given."""

    def __init__(
        self,
        sign: Sign,
        rules: Rules,
        *,
        webhook_url: str | None = None,
        webhook_secrets: Sequence[str] = (),
        clock: Clock | None = None,
        state_file: Path | None = None,
        port: int | None = None,
        host: str = "127.0.0.1",
        public_url: str | None = None,
        seed: int = 0,
    ) -> None:
        self.clock = clock or SystemClock()
        self.webhooks = Webhooks(sign, rules, self.clock, seed=seed)
        if webhook_url:
            self.webhooks.endpoints.append(Endpoint(webhook_url, list(webhook_secrets)))
        self.faults = Faults()
        wish = _port_in(state_file)  # addresses given out before a restart stay good
        self._loopback = Loopback(port, wish=wish, host=host)
        self.url = self._loopback.url  # where services on this machine reach it
        self.public_url = public_url or self.url  # where browsers do
        self._state_file = state_file
        self._saved = ""
        self._next_save = 0.0
        self._ticking: asyncio.Task[None] | None = None

    def app(self) -> FastAPI:
        """The API, the pages and the control API of this stand-in."""
        raise NotImplementedError

    def tick(self) -> None:
        """What happens by itself as time passes."""

    def dump(self) -> dict[str, Any]:
        """The state as JSON; webhooks apart."""
        raise NotImplementedError

    def load(self, state: dict[str, Any]) -> None:
        """Takes up a dumped state."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        await self._loopback.start(self.app())
        if self._state_file and self._state_file.exists():
            state = json.loads(self._state_file.read_text())
            self.load(state)
            self.webhooks.load(state["deliveries"])
        self._ticking = asyncio.create_task(self._tick(), name=f"tick {self.url}")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._ticking:
            self._ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticking
        self._save()  # before the webhooks end: what is under way goes on after a restart
        await self.webhooks.close()
        await self._loopback.stop()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.tick()
            began = time.monotonic()
            if began >= self._next_save:
                self._save()
                self._next_save = began + 20 * (time.monotonic() - began)  # a big account is saved less often

    def _save(self) -> None:
        if self._state_file is None:
            return
        state = json.dumps(self.dump() | {"deliveries": self.webhooks.dump(), "port": self._loopback.port})
        if state == self._saved:
            return
        self._state_file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._state_file.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # it holds webhook secrets
        with os.fdopen(descriptor, "w") as out:
            out.write(state)
        fresh.replace(self._state_file)
        self._saved = state


def _port_in(state_file: Path | None) -> int | None:
    return int(json.loads(state_file.read_text())["port"]) if state_file and state_file.exists() else None
