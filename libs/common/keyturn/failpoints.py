"""Named places at which a test can kill, break or slow down a process: before and after each commit, and in the
relay, the consumer and the worker. Without `FAILPOINTS` in the environment a hit costs one comparison.

`FAILPOINTS_SEEN=file` has every process append each name at its first hit, before it acts on it: so a test knows that
the place it killed a process at was really passed.
"""

import asyncio
import os
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


class FailpointError(Exception):
    """Raised on demand by `FAILPOINTS="name=raise"`."""


@dataclass(frozen=True)
class Action:
    """`kill`, `raise` or `sleep`, at every hit or only at the `on`-th."""

    name: str
    seconds: float = 0.0
    on: int | None = None


def parse(text: str) -> dict[str, Action]:
    """`"billing.refund.before_commit=kill@2,billing.relay.confirmed=sleep:0.5"`. Raises ValueError."""
    return {name: _action(what) for item in text.split(",") if item for name, _, what in [item.strip().partition("=")]}


def _action(text: str) -> Action:
    what, _, turn = text.partition("@")
    name, _, seconds = what.partition(":")
    if name not in {"kill", "raise", "sleep"}:
        raise ValueError(f"a failpoint can kill, raise or sleep, not {name!r}")
    return Action(name, float(seconds or 0), int(turn) if turn else None)


class Failpoints:
    """The armed failpoints of one process, and the names that were hit, in the order of their first hits."""

    def __init__(self, actions: dict[str, Action], seen_in: Path | None = None) -> None:
        self._actions = actions
        self._seen_in = seen_in
        self._hits: Counter[str] = Counter()
        self.seen: dict[str, None] = {}

    async def hit(self, name: str) -> None:
        if name not in self.seen:
            self._first(name)
        if not self._actions or (action := self._actions.get(name)) is None:
            return
        self._hits[name] += 1
        if action.on in {None, self._hits[name]}:
            await _act(name, action)

    def _first(self, name: str) -> None:
        self.seen[name] = None
        if self._seen_in:  # at once, and in one write: the process may be killed here, and others write there too
            with self._seen_in.open("a") as file:
                file.write(f"{name}\n")


def seen_by_processes(file: Path) -> set[str]:
    """What all processes with this `FAILPOINTS_SEEN` have passed so far."""
    return set(file.read_text().split()) if file.exists() else set()


async def _act(name: str, action: Action) -> None:
    if action.name == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if action.name == "raise":
        raise FailpointError(name)
    await asyncio.sleep(action.seconds)


_file = os.environ.get("FAILPOINTS_SEEN")
_process = Failpoints(parse(os.environ.get("FAILPOINTS", "")), Path(_file) if _file else None)
hit = _process.hit
seen = _process.seen
