"""`docker.exec`: a command in a container of the install. Made once as a resource; in `setup` with the password.

What is secret goes into the command's environment: its arguments are shown to everybody on the host.
"""

import asyncio
from typing import Annotated, ClassVar, Literal

import httpx
from pydantic import Field

from provisioner.resources.docker import marks
from provisioner.resources.docker.engine import Engine, plain
from provisioner.resources.docker.frames import Frames
from provisioner.resources.docker.hosts import PACE, Docker, target_of
from provisioner.resources.docker.spec import Argument, User, Value, Variable
from provisioner.resources.port import (
    Applying,
    Given,
    Gone,
    Health,
    Notes,
    NotReady,
    Outputs,
    Pace,
    Parameters,
    Permanent,
    Refused,
    Resource,
    SetupCall,
    Transient,
    UnknownResult,
)

_ID = r"^[a-z0-9][a-z0-9-]{0,31}/kt-[0-9a-f]{16}-[a-z0-9-]{1,32}$"
AGAIN = 0.2  # seconds between two looks at a command that runs


class ExecParameters(Parameters):
    """`container`: its `id`. `refused`: exit codes by which, in `setup`, the password is not taken; the last line that
    was written says why. `repeatable`: may be run again where it is not known whether it was."""

    container: str = Field(pattern=_ID)
    argv: list[Argument] = Field(min_length=1, max_length=50)
    env: dict[Variable, Value] = Field(default_factory=dict)
    user: User | None = None
    timeout: float = Field(default=60, gt=0, le=300)
    refused: list[Annotated[int, Field(ge=1, le=255)]] = Field(default_factory=list)
    repeatable: bool = True


class Command:
    """One run of a command in a container that must be of this install."""

    def __init__(self, engine: Engine, given: Given[ExecParameters]) -> None:
        self.engine = engine
        self.given = given
        self._container = given.parameters.container.partition("/")[2]

    async def prepare(self) -> str:
        """Its id: nothing runs yet."""
        parameters = self.given.parameters
        await self._must_be_ours()
        body = {
            "Cmd": parameters.argv,
            "Env": [f"{name}={value.get_secret_value()}" for name, value in parameters.env.items()],
            "AttachStdout": True,
            "AttachStderr": True,
            **({"User": parameters.user} if parameters.user else {}),
        }
        answer = await self.engine.change(
            "exec.create", "POST", "containers", self._container, "exec", body=body, expect={201, 409}
        )
        if answer.status == 409:
            raise NotReady("the container does not run")
        return str(answer.json()["Id"])

    async def run(self, number: str) -> tuple[int, str]:
        """Its exit code and the last line that it wrote."""
        frames = Frames()
        timeout = httpx.Timeout(30, read=self.given.parameters.timeout)
        try:
            async with asyncio.timeout(self.given.parameters.timeout):
                start = self.engine.stream("POST", "exec", number, "start", body={"Detach": False}, timeout=timeout)
                async with start as response:
                    async for part in response.aiter_raw():
                        frames.take(part)
                while not isinstance(code := await self.state(number), int):  # noqa: ASYNC110 - another's state
                    await asyncio.sleep(AGAIN)
        except TimeoutError:
            raise Transient(f"the command has not ended within {self.given.parameters.timeout:g} seconds") from None
        except LookupError:
            raise Transient("the engine was started again while the command ran") from None
        lines = frames.text.strip().splitlines()
        return code, plain(lines[-1]) if lines else ""

    async def state(self, number: str) -> int | Literal["new", "running"]:
        """Its exit code once it has one. Raises `LookupError` where the engine does not know it any more."""
        answer = await self.engine.ask("GET", "exec", number, "json", expect={200, 404})
        if answer.status == 404:
            raise LookupError
        said = answer.json()
        if said["Running"]:
            return "running"
        return "new" if said["ExitCode"] is None else int(said["ExitCode"])

    async def _must_be_ours(self) -> None:
        answer = await self.engine.ask("GET", "containers", self._container, "json", expect={200, 404})
        if answer.status == 404:
            raise NotReady("the container is not there")
        if (answer.json()["Config"]["Labels"] or {}).get(marks.INSTALL) != str(self.given.install):
            raise Permanent("the container is not of this install")


class DockerExec(Resource[ExecParameters]):
    """Run once. Where we died meanwhile the engine is asked what came of it."""

    Parameters = ExecParameters
    pace: ClassVar[Pace] = PACE
    shown = frozenset({"argv"})

    def __init__(self, given: Given[ExecParameters], tools: Docker) -> None:
        super().__init__(given, tools)
        self._docker = tools

    async def target(self, notes: Notes) -> str:  # noqa: ARG002 - where its container is
        return target_of(self.parameters.container.partition("/")[0])

    async def ensure(self, notes: Notes) -> Outputs:
        if notes.get("done"):
            return {}
        command = Command(await self._docker.engine(self.parameters.container.partition("/")[0]), self.given)
        code, said = await self._run(notes, command)
        if code:
            await notes.save(run=None)
            raise Permanent(f"the command has ended with {code}: {said}")
        await notes.save(done=True, run=None)
        return {}

    async def _run(self, notes: Notes, command: Command) -> tuple[int, str]:
        number = notes.get("run")
        if number is None:
            number = await command.prepare()
            await notes.save(run=number)
            return await command.run(number)
        try:
            state = await command.state(number)
        except LookupError:  # the engine was started again meanwhile, and forgets
            await notes.save(run=None)
            if not self.parameters.repeatable:
                raise UnknownResult("nobody knows whether the command has run; it must not run twice") from None
            raise NotReady("the command is run again") from None
        if state == "running":
            raise NotReady("the command still runs")
        return await command.run(number) if state == "new" else (state, "")

    async def probe(self, notes: Notes) -> Health:
        return Health(ok=bool(notes.get("done")), detail="" if notes.get("done") else "not run yet")

    async def destroy(self, notes: Notes) -> Gone:  # noqa: ARG002 - what it did goes with the container
        return "not_found"


class DockerSetup(SetupCall[ExecParameters]):
    Parameters = ExecParameters
    shown = frozenset({"argv"})

    def __init__(self, given: Given[ExecParameters], tools: Docker) -> None:
        super().__init__(given, tools)
        self._docker = tools

    async def run(self) -> Applying | None:
        command = Command(await self._docker.engine(self.parameters.container.partition("/")[0]), self.given)
        code, said = await command.run(await command.prepare())
        if code in self.parameters.refused:
            raise Refused(said or "It was not accepted.")
        if code:
            raise Permanent(f"the command has ended with {code}")
        return None
