"""A target that remembers what was done to it, and does badly what a test asks for.

world.next("shop", "ensure", before=Transient("away"))   the call fails, and nothing was done
world.next("shop", "ensure", after=Crash())              it was done, and the answer is lost
world.next("shop", "ensure", hold=event)                 it takes until the event is set
"""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import SecretStr

from provisioner.resources import Kinds
from provisioner.resources.port import (
    Applying,
    Given,
    Gone,
    Health,
    Notes,
    Outputs,
    Pace,
    Parameters,
    Refused,
    Resource,
    Room,
    SetupCall,
)


class Crash(BaseException):
    """As if the process had died at this point."""


@dataclass
class Thing:
    """What is there. `creations` counts how often it was made: more than once is the failure to look for."""

    size: str
    secret: str | None
    up: bool = True
    data: int = 1


@dataclass
class Behaviour:
    before: BaseException | None = None
    after: BaseException | None = None
    hold: asyncio.Event | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class World:
    things: dict[str, Thing] = field(default_factory=dict)  # by mark
    creations: Counter[str] = field(default_factory=Counter)
    calls: list[tuple[str, str]] = field(default_factory=list)  # (resource, operation)
    passwords: dict[str, str] = field(default_factory=dict)
    unwell: set[str] = field(default_factory=set)
    running: int = 0
    most_running: int = 0
    applying: bool = False
    full: set[str] = field(default_factory=set)  # sizes of which no more find room
    _next: dict[tuple[str, str], deque[Behaviour]] = field(default_factory=lambda: defaultdict(deque))
    _always: dict[tuple[str, str], Behaviour] = field(default_factory=dict)

    def next(self, name: str, operation: str, **how: Any) -> Behaviour:
        behaviour = Behaviour(**how)
        self._next[name, operation].append(behaviour)
        return behaviour

    def always(self, name: str, operation: str, **how: Any) -> None:
        self._always[name, operation] = Behaviour(**how)

    def relent(self) -> None:
        self._always.clear()
        self._next.clear()

    async def begin(self, name: str, operation: str) -> Behaviour:
        self.calls.append((name, operation))
        waiting = self._next[name, operation]
        how = waiting.popleft() if waiting else self._always.get((name, operation), Behaviour())
        how.entered.set()
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if how.hold:
                await how.hold.wait()
            await asyncio.sleep(0)
        finally:
            self.running -= 1
        if how.before:
            raise how.before
        return how

    def of(self, install: object) -> dict[str, Thing]:
        return {mark.partition("/")[2]: t for mark, t in self.things.items() if mark.startswith(str(install))}


class FakeParameters(Parameters):
    size: str = "small"
    after: str | None = None
    secret: SecretStr | None = None
    count: int | None = None
    pool: str | None = None


class FakeThing(Resource[FakeParameters]):
    Parameters = FakeParameters
    outputs = frozenset({"address", "key"})
    pace: ClassVar[Pace] = Pace(together=50, failures=1000)
    patience = timedelta(minutes=10)
    strict: ClassVar[bool] = False

    def __init__(self, given: Given[FakeParameters], tools: World) -> None:
        super().__init__(given, tools)
        self._world = tools

    @classmethod
    async def has_room(cls, parameters: Mapping[str, Any], room: Room, tools: World) -> bool:
        pool = parameters.get("pool")
        return parameters.get("size") not in tools.full and (not pool or await room.number(pool, range(1, 4)))

    async def ensure(self, notes: Notes) -> Outputs:
        how = await self._world.begin(self.given.name, "ensure")
        number = await notes.allocate(self.parameters.pool, range(1, 4)) if self.parameters.pool else 0
        thing = self._world.things.get(self.given.mark)
        if thing is None:
            self._world.creations[self.given.mark] += 1
            secret = self.parameters.secret.get_secret_value() if self.parameters.secret else None
            thing = self._world.things[self.given.mark] = Thing(self.parameters.size, secret)
        thing.size = self.parameters.size
        await notes.save(made=True, key=SecretStr(f"key-of-{self.given.name}"))
        if how.after:
            raise how.after
        return {"address": f"{self.given.name}.{number}", "key": SecretStr(f"key-of-{self.given.name}")}

    async def probe(self, notes: Notes) -> Health:
        await self._world.begin(self.given.name, "probe")
        thing = self._world.things.get(self.given.mark)
        return Health(ok=thing is not None and thing.up and self.given.name not in self._world.unwell)

    async def suspend(self, notes: Notes) -> None:
        await self._turn("suspend", up=False)

    async def resume(self, notes: Notes) -> None:
        await self._turn("resume", up=True)

    async def _turn(self, operation: str, *, up: bool) -> None:
        how = await self._world.begin(self.given.name, operation)
        if thing := self._world.things.get(self.given.mark):
            thing.up = up
        if how.after:
            raise how.after

    async def destroy(self, notes: Notes) -> Gone:
        how = await self._world.begin(self.given.name, "destroy")
        found = self._world.things.pop(self.given.mark, None)
        if how.after:
            raise how.after
        return "deleted" if found else "not_found"


class OneAtATime(FakeThing):
    """A server that takes one call at a time, whichever replica makes it."""

    pace: ClassVar[Pace] = Pace(together=1, strict=True)


class Program(FakeThing):
    """A thing that is looked after: probed every few seconds, and repaired where it died."""

    watched = True


class FakeSetupParameters(Parameters):
    password: SecretStr


class FakeSetup(SetupCall[FakeSetupParameters]):
    Parameters = FakeSetupParameters

    def __init__(self, given: Given[FakeSetupParameters], tools: World) -> None:
        super().__init__(given, tools)
        self._world = tools

    async def run(self) -> Applying | None:
        how = await self._world.begin("setup", "run")
        password = self.parameters.password.get_secret_value()
        if len(password) < 8:
            raise Refused("Use at least 8 characters.")
        self._world.passwords[str(self.given.install)] = password
        if how.after:
            raise how.after
        return Applying({"ticket": "42"}) if self._world.applying else None

    async def applied(self, operation: Mapping[str, Any]) -> bool:
        return operation == {"ticket": "42"} and not self._world.applying


def fake_kinds(world: World) -> Kinds:
    return Kinds(
        resources={"fake.thing": FakeThing, "fake.narrow": OneAtATime, "fake.program": Program},
        setup={"fake.setup": FakeSetup},
        tools={"fake": world},
    )
