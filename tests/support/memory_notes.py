"""Notes of a driver that is called by itself, without an engine of ours around it."""

from collections.abc import Collection, Mapping
from typing import Any

from provisioner.resources.port import Capacity, Needs


class MemoryNotes:
    """Numbers are given in order; a place is always on the server `main`."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self._numbers: dict[str, int] = {}

    def get(self, name: str, default: Any = None) -> Any:
        return self.kept.get(name, default)

    async def save(self, **notes: Any) -> None:
        self.kept = {name: value for name, value in (self.kept | notes).items() if value is not None}

    async def allocate(self, pool: str, numbers: range, *, refuse: Collection[int] = ()) -> int:
        if self._numbers.get(pool) in {None, *refuse}:
            free = [number for number in numbers if number not in refuse]
            if not free:
                raise Capacity(f"no number of {pool} is free")
            self._numbers[pool] = free[0]
        return self._numbers[pool]

    async def place(self, target: str, needs: Needs, *, labels: Mapping[str, str]) -> str:
        self.kept["server"] = "main"
        return "main"

    async def leave(self) -> bool:
        return self.kept.pop("server", None) is not None

    async def keep(self, write: object) -> Any:
        raise NotImplementedError  # nothing here keeps a table of its own
