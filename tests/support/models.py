"""Model-based tests: Hypothesis drives the real code on a real database, one step after another, against a model.

MODEL_EXAMPLES says how many runs each machine makes: few and the same in the suite, many new ones in `make models`.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

T = TypeVar("T")
NewDatabase = Callable[[str], str]  # the fixture `new_database`
FEW = 8
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", FEW))
TIMEOUT = 120 if EXAMPLES == FEW else 3600  # seconds
_SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=25 if EXAMPLES == FEW else 50,
    derandomize=EXAMPLES == FEW,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


class Loop:
    """An event loop of its own for a test that is not a coroutine, since Hypothesis calls plain functions."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(doing)

    @contextmanager
    def entered(self, entering: AbstractAsyncContextManager[T]) -> Iterator[T]:
        found = self.run(entering.__aenter__())
        try:
            yield found
        finally:
            self.run(entering.__aexit__(None, None, None))


@contextmanager
def own_loop() -> Iterator[Loop]:
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        yield Loop(runner)


class Machine(RuleBasedStateMachine):
    """What it runs against is made once: every example takes new subjects, not a new database."""

    world: Any
    loop: Loop

    def do(self, doing: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(doing)


def run_machine(machine: type[Machine], loop: Loop, world: Any) -> None:
    machine.world, machine.loop = world, loop
    run_state_machine_as_test(machine, settings=_SETTINGS)
