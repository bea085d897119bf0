"""docs/commit-points.md, and the places in the code that it has to account for."""

import ast
import importlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from keyturn.events import Envelope
from sandbox.postgres import SERVICES
from support import pages
from support.flows import FLOWS
from support.pages import ROOT

PAGE = pages.DOCS / "commit-points.md"
BEGIN, END = "<!-- written by make kills -->", "<!-- end -->"
PAIRS = {
    " before and after the commit": (".before_commit", ".after_commit"),
    " before and after": (".before", ".after"),
}
ANY, WORD = r"[\w.]+", r"\w+"


@dataclass(frozen=True)
class Place:
    """Where the code comes by failpoints whose names the pattern matches."""

    where: str
    pattern: str

    def has(self, name: str) -> bool:
        return re.fullmatch(self.pattern, name) is not None

    def is_in(self, entry: str) -> bool:
        """Of that list."""
        name = re.sub(r"\((\w+)\|\w+\)", r"\1", self.pattern.replace(ANY, "x").replace(WORD, "x")).replace("\\", "")
        return stands_for(entry, name)


def of_flow(flow: str) -> list[str]:
    """The names at which the page says that this flow is killed."""
    column = 1 + list(FLOWS).index(flow)
    return [name for row in pages.table(PAGE.name, "## Killed") if row[column] for name in _names(row[0])]


def killed() -> set[str]:
    return {name for flow in FLOWS for name in of_flow(flow)}


def elsewhere() -> list[str]:
    """The names that no flow comes by, as the page lists them: `*` stands for anything."""
    return [name for row in pages.table(PAGE.name, "## Not killed in a flow") for name in pages.codes(row[0])]


def stands_for(entry: str, name: str) -> bool:
    """An entry of that list, and a name."""
    return re.fullmatch(re.escape(entry).replace(r"\*", ANY), _base(name)) is not None


def unlisted(names: Iterable[str]) -> list[str]:
    """Those that the page does not account for."""
    known, others = killed(), elsewhere()
    return sorted(name for name in names if name not in known and not any(stands_for(one, name) for one in others))


def write(names: dict[str, list[str]]) -> None:
    """Into the page, for each flow the names that it comes by."""
    every = {name for found in names.values() for name in found}
    rows = {_cell(name, every): ["x" if name in names[flow] else "" for flow in FLOWS] for name in _sorted(every)}
    head = [f"| point | {' | '.join(FLOWS)} |", "|---" * (len(FLOWS) + 1) + "|"]
    lines = [*head, *(f"| {cell} | {' | '.join(row)} |" for cell, row in rows.items())]
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text("\n".join([f"{before}{BEGIN}", *lines, END + rest.split(END, 1)[1]]))


def _sorted(names: set[str]) -> list[str]:
    return sorted(names, key=lambda name: (SERVICES.index(name.partition(".")[0]), name))


def _base(name: str) -> str:
    for ends in PAIRS.values():
        for end in ends:
            name = name.removesuffix(end)
    return name


def _cell(name: str, every: set[str]) -> str:
    base = _base(name)
    for words, ends in PAIRS.items():
        if {base + end for end in ends} <= every and name != base:
            return f"`{base}`{words}"
    return f"`{name}`"


def _names(cell: str) -> list[str]:
    _, base, words = cell.split("`")
    return [base + end for end in PAIRS.get(words, ("",))]


def places() -> list[Place]:
    """Every place: each call in the code, each handler, and each kind of work."""
    return [*_calls(), *_handlers(), *_work()]


def _handlers() -> Iterator[Place]:
    for service in SERVICES:
        for kind in importlib.import_module(f"{service}.handlers").HANDLERS:
            label = f"on_{WORD if kind is Envelope else kind.wire.replace('.', '_')}"
            yield Place(f"{service}.handlers: {kind.__name__}", rf"{service}\.{label}\.(before|after)_commit")


def _work() -> Iterator[Place]:
    for service in SERVICES:
        for kind in (*importlib.import_module(f"{service}.handlers").WORK, "event"):
            for end in ("claimed", "ran"):
                yield Place(f"{service}.handlers: {kind}", rf"{service}\.work\.{kind}\.{end}")


def _calls() -> Iterator[Place]:
    for root, service in [(ROOT / "libs/common/keyturn", WORD), *((ROOT / "services" / s / s, s) for s in SERVICES)]:
        for file in sorted(root.rglob("*.py")):
            for call in (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)):
                if isinstance(call.func, ast.Attribute) and (pattern := _pattern(call, call.func, service)):
                    yield Place(f"{file.relative_to(ROOT)}:{call.lineno}", pattern)


def _pattern(call: ast.Call, function: ast.Attribute, service: str) -> str | None:
    """None where it is no commit point, or where its name is made elsewhere and found there."""
    of = ast.unparse(function.value)
    name = _literal(call.args[0]) if call.args else None
    if function.attr == "hit" and of == "failpoints":
        return name
    if function.attr not in {"transaction", "labelled"} and not (function.attr == "run" and of.endswith("database")):
        return None
    if function.attr == "transaction" and of.endswith("work"):
        name = rf"{WORD}\.{name}" if name else WORD if not call.args else None
    return rf"{service}\.{name}\.(before|after)_commit" if name else None


def _literal(node: ast.expr) -> str | None:
    """A string as a pattern, what is filled in as anything."""
    if isinstance(node, ast.Constant):
        return re.escape(str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(_literal(part) or ANY for part in node.values)
    return None
