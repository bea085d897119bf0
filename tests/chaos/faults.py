"""What goes wrong, and in which order: all of it follows from the seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from chaos.replicas import ALL
from sandbox.postgres import SERVICES

LINKS = ("database", "bus", "http")


@dataclass(frozen=True)
class Fault:
    """`what` happens to `whom` for so long; then it is mended."""

    what: str
    whom: str
    seconds: float
    pause: float  # before it

    def __str__(self) -> str:
        return f"{self.what} {self.whom}, {self.seconds:.1f} s"


# How often, of a hundred; whom it may meet; how long it lasts.
SERVERS = ("broker", "database")
LINKED = tuple(f"{service}/{link}" for service in SERVICES for link in LINKS)
KINDS: dict[str, tuple[int, tuple[str, ...], tuple[float, float]]] = {
    "kill": (20, ALL, (0.0, 3.0)),
    "kill both": (6, SERVICES, (0.0, 3.0)),
    "kill server": (8, SERVERS, (0.0, 3.0)),
    "stall": (14, ALL, (1.0, 14.0)),
    "stall server": (6, SERVERS, (1.0, 14.0)),
    "cut": (14, LINKED, (0.0, 4.0)),
    "delay": (8, LINKED, (2.0, 6.0)),
    "swallow": (8, LINKED, (1.0, 6.0)),
    "fill queue": (6, SERVICES, (2.0, 5.0)),
    "expire leases": (6, SERVICES, (0.0, 0.0)),
    "no mail": (4, ("mailbox",), (2.0, 8.0)),
    "provider fails": (4, ("stripe", "razorpay"), (2.0, 6.0)),
}


Strike = tuple[Fault, ...]  # one fault, or two at once
PAIRED = 0.25  # of all strikes


def schedule(seed: int, number: int) -> list[Strike]:
    """Each kind comes before any comes twice, as far as the number goes; then by how often it is to come."""
    chance = random.Random(f"faults {seed}")
    second = random.Random(f"second faults {seed}")
    faults = [_fault(chance, what) for what in _kinds(chance, number)]
    return [(fault, _beside(second, fault)) if second.random() < PAIRED else (fault,) for fault in faults]


def _kinds(chance: random.Random, number: int) -> Iterator[str]:
    every = list(KINDS)
    chance.shuffle(every)
    yield from every[:number]
    yield from _by_weight(chance, max(0, number - len(every)))


def _by_weight(chance: random.Random, number: int) -> list[str]:
    return chance.choices(list(KINDS), [weight for weight, _, _ in KINDS.values()], k=number)


def _beside(chance: random.Random, first: Fault) -> Fault:
    """A second one that undoes nothing of the first, and can be caused while it lasts."""
    while True:
        (what,) = _by_weight(chance, 1)
        second = _fault(chance, what)
        if not _touched(first) & _touched(second):
            return second


def _touched(fault: Fault) -> set[str]:
    """The processes and links that a fault has in hand, and the server that it is caused through."""
    through = {"fill queue": {"broker"}, "expire leases": {"database"}}.get(fault.what, set())
    both = {f"{fault.whom}-1", f"{fault.whom}-2"} if fault.whom in SERVICES else {fault.whom}
    return both | through


def _fault(chance: random.Random, what: str) -> Fault:
    _, whom, (least, most) = KINDS[what]
    return Fault(what, chance.choice(whom), chance.uniform(least, most), chance.uniform(0, 1.5))
