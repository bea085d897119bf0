"""The port between the engine and the drivers of targets.

A driver adapts one kind of resource: it translates and classifies. It knows nothing of jobs, transactions or events,
and every call of it may be the second one: after a crash the same method is called again with the notes of the first.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, SecretStr

if TYPE_CHECKING:
    from keyturn.database import Transaction

Value = str | int | float | bool | SecretStr | None
Outputs = Mapping[str, Value]  # a SecretStr is sealed at rest
Gone = Literal["deleted", "not_found"]


class DriverError(Exception):
    """All that a driver may raise. The message is shown to operators and stored: no secret, no personal data."""


class Transient(DriverError):
    """Nothing is known to have happened, or it may be repeated: tried again, counting an attempt."""

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotReady(DriverError):
    """It is on its way; ask again, at first soon, later every `after`. Counts no attempt, but has the kind's
    `patience`."""

    def __init__(self, message: str, *, after: timedelta = timedelta(seconds=5)) -> None:
        super().__init__(message)
        self.after = after


class Capacity(DriverError):
    """There is no room now. Waits until there is."""


class NeedsOperator(DriverError):
    """Parked until an operator has put something right: a token, a limit, a server."""


class NeedsCustomer(DriverError):
    """Parked until the customer has done something, or chosen another name."""


class UnknownResult(DriverError):
    """A call may have taken effect, and the target cannot be asked: parked, never repeated by itself."""


class Permanent(DriverError):
    """It will never work like this: the retries end here."""


class Refused(DriverError):
    """Setup alone: the install does not take this password. The message is for the customer."""


@dataclass(frozen=True)
class Needs:
    """What a resource takes of a server beside its slot. `memory`: in bytes."""

    memory: int = 0
    cpus: float = 0


@dataclass(frozen=True)
class Server:
    """A host of ours. `address`: of what manages it. `publish_on`: the host's own, where its resources are reached."""

    name: str
    target: str
    address: str
    publish_on: str


class Servers(Protocol):
    async def find(self, target: str, name: str) -> Server:
        """Raises `NeedsOperator` where the target has none of this name."""


class Notes(Protocol):
    """What a driver must remember between calls. Every method here commits at once, under the worker's fence."""

    def get(self, name: str, default: Any = None) -> Any: ...

    async def save(self, **notes: Any) -> None:
        """Add to the notes; None removes one. A SecretStr is sealed at rest and comes back as SecretStr."""

    async def allocate(self, pool: str, numbers: range, *, refuse: Collection[int] = ()) -> int:
        """A number of the pool that nobody else holds, the same at every call; another one where it is in `refuse`.
        Given back when the resource is gone. Raises `Capacity`."""

    async def keep(self, write: "Callable[[Transaction, tuple[UUID, str]], Awaitable[T]]") -> "T":
        """What a kind keeps in a table of its own: `write` is one that it was built with, and is given the install and
        the resource's name."""

    async def place(self, target: str, needs: Needs, *, labels: Mapping[str, str]) -> str:
        """The name of the server on which this resource has its place, also in the note `server`: the least loaded with
        these labels and with room, and the same at every call. Other needs are met there. Raises `Capacity`."""

    async def leave(self) -> bool:
        """Give the place back; False where there is none."""


class Room(Protocol):
    """What is free now: for the question before a sale. Nothing is held by it."""

    async def number(self, pool: str, numbers: range) -> bool:
        """Whether nobody holds one of these numbers of the pool."""

    async def server(self, target: str, needs: Needs, labels: Mapping[str, str]) -> bool:
        """Whether a server with these labels has room for so much."""


T = TypeVar("T")
P = TypeVar("P", bound=BaseModel)


class Parameters(BaseModel):
    """Base of all parameter models: what a blueprint may say about a kind, and nothing else."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, regex_engine="python-re")


@dataclass(frozen=True)
class Given(Generic[P]):
    """One resource to adapt. `customer_named`: the parameters in which a customer's own words stand."""

    install: UUID
    name: str
    parameters: P = field(repr=False)
    customer_named: frozenset[str] = frozenset()

    @property
    def mark(self) -> str:
        """Ours and nobody else's: the name, label or annotation by which a lost resource is found and adopted."""
        return f"{self.install}/{self.name}"

    @property
    def slug(self) -> str:
        """The mark for targets that take only letters, digits and hyphens."""
        return f"kt-{self.install.hex[-16:]}-{self.name.replace('_', '-')}"


@dataclass(frozen=True)
class Pace:
    """What a target bears. `together` holds over all replicas where `strict`, else in each."""

    together: int = 8
    strict: bool = False
    per_second: float | None = None
    failures: int = 5  # in a row, before it is left alone
    pause: timedelta = timedelta(seconds=30)


@dataclass(frozen=True)
class Health:
    ok: bool
    detail: str = ""


class Resource(ABC, Generic[P]):
    """One kind of resource. Every operation is repeatable, and may leave by raising a `DriverError`.

    `parameters` of an `ensure` may differ from those of the one before (a plan change): what cannot be changed in
    place is replaced, keeping the data.
    """

    Parameters: ClassVar[type[BaseModel]]
    outputs: ClassVar[frozenset[str]] = frozenset()  # what a blueprint may refer to
    pace: ClassVar[Pace] = Pace()
    patience: ClassVar[timedelta] = timedelta(minutes=20)  # how long `NotReady` may go on
    shown: ClassVar[frozenset[str]] = frozenset()  # parameters that others see: a blueprint puts no secret there
    watched: ClassVar[bool] = False  # probed every few seconds, and ensured again where it died

    def __init__(self, given: Given[P], tools: Any) -> None:  # noqa: ARG002 - for kinds that have some
        self.given = given
        self.parameters = given.parameters

    @classmethod
    def promises(cls, parameters: Mapping[str, Any]) -> frozenset[str]:  # noqa: ARG003 - for kinds that capture
        """The outputs of a resource with these (still unrendered) parameters."""
        return cls.outputs

    @classmethod
    async def has_room(cls, parameters: Mapping[str, Any], room: Room, tools: Any) -> bool:  # noqa: ARG003 - for kinds with limits
        """Whether one more would find its place now: asked before money is taken. `parameters`: as the blueprint has
        them, with the plan's limits filled in and nothing else."""
        return True

    async def choose(self, notes: Notes) -> None:
        """Before each `ensure`: a kind with several servers takes its place on one. Raises `Capacity`."""

    async def target(self, notes: Notes) -> str:  # noqa: ARG002 - for kinds that choose a server
        """Where it goes: what pace, limits and breaker count by."""
        return type(self).__module__.rpartition(".")[2]

    @abstractmethod
    async def ensure(self, notes: Notes) -> Outputs:
        """Create or adopt, and bring to the wanted parameters."""

    @abstractmethod
    async def probe(self, notes: Notes) -> Health:
        """Is the real thing there, and well?"""

    async def suspend(self, notes: Notes) -> None:
        """Stop serving; keep the data."""

    async def resume(self, notes: Notes) -> None:
        """Serve again."""

    @abstractmethod
    async def destroy(self, notes: Notes) -> Gone:
        """Remove for good. Not being there is success."""


@dataclass(frozen=True)
class Applying:
    """The target needs minutes: `operation` is what to ask it about later. Holds no password."""

    operation: Mapping[str, Any]


class SetupCall(ABC, Generic[P]):
    """One call of a blueprint's `setup`: hands the customer's password to the install and keeps nothing."""

    Parameters: ClassVar[type[BaseModel]]
    shown: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, given: Given[P], tools: Any) -> None:  # noqa: ARG002 - for kinds that have some
        self.given = given
        self.parameters = given.parameters

    @abstractmethod
    async def run(self) -> Applying | None:
        """Repeatable with the same password. Raises `Refused` where the install does not take it."""

    async def applied(self, operation: Mapping[str, Any]) -> bool:  # noqa: ARG002 - most targets answer at once
        """Whether what `run` began is done."""
        return True
