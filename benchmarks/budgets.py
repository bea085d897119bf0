"""What a benchmark hands back: figures of ours beside the limit's or a peer's, and the budget that they are held to."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

HEADINGS = ("#", "what", "limit or peer", "its", "ours", "ratio", "budget", "met")


@dataclass(frozen=True)
class Row:
    """One figure held to one budget.

    With `against` the budget is for the ratio ours : other, both from the same run; without, for the figure itself.
    Where one of the two could not be measured it is None, and so is whether the budget is met.
    """

    number: int  # of the budget
    what: str  # with its unit: "relay drains, rows/s"
    ours: float | None
    at: Literal["least", "most"]
    budget: float
    against: str = ""
    other: float | None = None

    @property
    def ratio(self) -> float | None:
        return None if self.ours is None or not self.other else self.ours / self.other

    @property
    def met(self) -> bool | None:
        value = self.ratio if self.against else self.ours
        if value is None:
            return None
        return value >= self.budget if self.at == "least" else value <= self.budget

    def cells(self) -> list[str]:
        sign, times = ("≥" if self.at == "least" else "≤"), (" x" if self.against else "")
        met = {True: "yes", False: "NO", None: "not measured"}[self.met]
        figures = [_figure(self.other) if self.against else "", _figure(self.ours)]
        ratio = f"{_figure(self.ratio)} x" if self.ratio is not None else ""
        return [str(self.number), self.what, self.against, *figures, ratio, f"{sign} {self.budget:g}{times}", met]


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def from_json(values: Mapping[str, Any]) -> Row:
    return Row(**values)


def as_json(row: Row) -> dict[str, Any]:
    return asdict(row)


def markdown(rows: Sequence[Row]) -> str:
    lines = [list(HEADINGS), ["---"] * len(HEADINGS), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
