"""One run: customers on their way, faults one after the other, and the counting at the end."""

import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from statistics import median

import pytest

from chaos.causing import cause
from chaos.counting import Counts, count
from chaos.faults import Strike, schedule
from chaos.journeys import Journey, plans
from chaos.measuring import LIMIT, resumed
from chaos.world import World, world

AT_ONCE = 16  # customers
STEP = timedelta(seconds=15)  # of the services' time, twice a second, once there are no faults any more
SETTLE_SECONDS = 300.0

Say = Callable[[str], None]


@dataclass
class Report:
    seed: int
    journeys: int
    counts: Counts = field(default_factory=dict)
    resumes: list[tuple[Strike, float]] = field(default_factory=list)
    copies: int = 0  # of events, beyond the first
    events: int = 0
    seconds: float = 0.0

    @property
    def late(self) -> list[str]:
        return [f"{named(strike)}: {seconds:.1f} s" for strike, seconds in self.resumes if seconds > LIMIT]

    @property
    def wrong(self) -> Counts:
        """What must not be, however slow the machine is: empty after a good run."""
        return {name: found for name, found in self.counts.items() if found}


def workplace(seed: int) -> Path:
    """A folder that the servers' users may enter."""
    folder = Path(tempfile.mkdtemp(prefix=f"keyturn-chaos-{seed}-"))
    folder.chmod(0o755)
    return folder


async def run(folder: Path, *, journeys: int, faults: int, seed: int, say: Say) -> Report:
    began = time.monotonic()
    async with world(folder) as there:
        report = await Run(there, Report(seed, journeys), faults, say).go()
    report.seconds = time.monotonic() - began
    return report


class Run:
    """Customers and faults keep step: neither is over long before the other."""

    def __init__(self, there: World, report: Report, faults: int, say: Say) -> None:
        self._world = there
        self._report = report
        self._say = say
        self._faults = schedule(report.seed, faults)
        self._journeys = [Journey(there, plan) for plan in plans(report.seed, report.journeys)]
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._step = asyncio.Condition()
        self._begun = self._over = self._done = 0
        self._stuck: list[str] = []
        self._ended: list[str] = []

    async def go(self) -> Report:
        travelling = asyncio.gather(*(self._travel(journey) for journey in self._journeys))
        for strike in self._faults:
            await self._cause(strike)
        self._say("no more faults")
        hurrying = asyncio.create_task(self._hurry())
        await travelling
        await self._settle()
        hurrying.cancel()
        report = self._report
        report.counts = await count(self._world, self._journeys, self._stuck, self._ended)
        report.events = len(self._world.watcher.arrived)
        report.copies = self._world.watcher.copies - report.events
        return report

    async def _travel(self, journey: Journey) -> None:
        ratio = len(self._faults) / len(self._journeys)
        await self._until(lambda: self._over >= (journey.plan.number - AT_ONCE) * ratio)
        async with self._slots:
            self._begun += 1
            await self._tell()
            try:
                await journey.travel()
            except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - whatever hinders it is for the report
                of = journey.bought.purchase_id if journey.bought else ""
                self._stuck.append(f"{journey.plan} {journey.doing} {of}: {type(error).__name__}: {error}"[:500])
                self._say(f"stuck: {self._stuck[-1]}")
            self._done += 1

    async def _cause(self, strike: Strike) -> None:
        share = len(self._journeys) / len(self._faults)
        await self._until(lambda: self._begun >= min(self._over * share, len(self._journeys)))
        await asyncio.sleep(strike[0].pause)
        self._ended += [f"{name} before {named(strike)}" for name in self._world.replicas.died()]
        await cause(self._world, strike)
        seconds = await resumed(self._world)
        self._report.resumes.append((strike, seconds))
        self._over += 1
        await self._tell()
        self._say(
            f"{self._over}/{len(self._faults)} {named(strike)}: resumed after {seconds:.1f} s; "
            f"{self._done}/{len(self._journeys)} journeys"
        )

    async def _until(self, so: Callable[[], bool]) -> None:
        async with self._step:
            await self._step.wait_for(so)

    async def _tell(self) -> None:
        async with self._step:
            self._step.notify_all()

    async def _hurry(self) -> None:
        """Nobody waits in real time for what is due in minutes."""
        while True:
            self._world.system.clock.move(STEP)
            await asyncio.sleep(0.5)

    async def _settle(self) -> None:
        try:
            await self._world.whole.settled(SETTLE_SECONDS)
        except pytest.fail.Exception as error:
            self._stuck.append(f"not settled: {error}")
        self._ended += [f"{name} in the end" for name in self._world.replicas.died()]


def named(strike: Strike) -> str:
    return ", and ".join(str(fault) for fault in strike)


def table(report: Report) -> str:
    by_kind: defaultdict[str, list[float]] = defaultdict(list)
    for strike, seconds in report.resumes:
        by_kind[strike[0].what if len(strike) == 1 else "two at once"].append(seconds)
    lines = ["", f"{'fault':<16}{'times':>6}{'to resume: median':>20}{'longest, s':>12}"]
    for what, times in sorted(by_kind.items()):
        lines.append(f"{what:<16}{len(times):>6}{median(times):>20.1f}{max(times):>12.1f}")
    lines += ["", f"{report.journeys} journeys, {len(report.resumes)} faults, {report.seconds:.0f} s"]
    lines += [f"{report.events} events, {report.copies} more copies of them; to resume at most {LIMIT:.0f} s", ""]
    for name, found in (report.counts | {"resumed too late": report.late}).items():
        lines += [f"{name:<17}{len(found):>4}", *(f"    {one}" for one in found[:20])]
    return "\n".join(lines)
