"""How hard each target is asked, in this process: so many calls at once, so many a second, and none while it fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic

from provisioner.resources.port import Pace, Transient


@dataclass
class _Target:
    places: asyncio.Semaphore
    next_call: float = 0.0
    failures: int = 0
    open_until: float = 0.0
    trying: bool = False


@dataclass
class Paces:
    """One for each process. Over all replicas a `strict` pace is held by rows in `slots`."""

    _targets: dict[str, _Target] = field(default_factory=dict)

    @asynccontextmanager
    async def call(self, name: str, pace: Pace) -> AsyncIterator[None]:
        """Around each call of a driver. Raises `Transient` while the target is left alone; then one call tries it."""
        target = self._targets.setdefault(name, _Target(asyncio.Semaphore(pace.together)))
        async with target.places:
            await _turn(target, pace)
            _check(name, target)
            try:
                yield
            except Transient:
                _failed(target, pace)
                raise
            except Exception:
                _answered(target)
                raise
            except BaseException:
                target.trying = False
                raise
            _answered(target)


async def _turn(target: _Target, pace: Pace) -> None:
    if pace.per_second:
        now = monotonic()
        turn = max(now, target.next_call)
        target.next_call = turn + 1 / pace.per_second
        if turn > now:
            await asyncio.sleep(turn - now)


def _check(name: str, target: _Target) -> None:
    """Left alone until its time is over, and then until the one call that tries it has an answer."""
    rest = target.open_until - monotonic()
    if target.open_until and (rest > 0 or target.trying):
        after = timedelta(seconds=max(rest, 1.0))
        raise LeftAlone(f"{name} failed several times in a row and is left alone for a while", retry_after=after)
    target.trying = bool(target.open_until)


class LeftAlone(Transient):
    """The target was not asked at all: counts no attempt."""


def _failed(target: _Target, pace: Pace) -> None:
    target.failures += 1
    target.trying = False
    if target.failures >= pace.failures:
        target.open_until = monotonic() + pace.pause.total_seconds()


def _answered(target: _Target) -> None:
    target.failures, target.trying, target.open_until = 0, False, 0.0
