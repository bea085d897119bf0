"""The pages under docs/: their fenced blocks, so that tests can run every example, and their tables."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md"), *ROOT.glob("services/*/README.md")])

_FENCE = re.compile(
    r"^(?:<!-- test: (?P<mark>[^>]+?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """One fenced block. `mark`: what the comment in front of it calls it."""

    page: Path
    line: int
    language: str
    mark: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> Iterator[str]:
        """The lines of a shell block, continued ones joined, without comments."""
        for line in self.text.replace("\\\n", " ").splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                yield line.strip()


@dataclass(frozen=True)
class Request:
    """An `http` block: request line, headers, an empty line, a JSON body."""

    method: str
    path: str
    headers: dict[str, str]
    body: str | None

    @classmethod
    def read(cls, text: str) -> "Request":
        head, _, body = text.strip().partition("\n\n")
        first, *rest = head.splitlines()
        method, path = first.split()
        headers = dict(line.split(": ", 1) for line in rest)
        return cls(method, path, headers, body or None)


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found["language"], found["mark"] or "", found["text"])
        for found in _FENCE.finditer(text)
    ]


def all_blocks(language: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page) if block.language == language]


def marked(page: str, mark: str) -> Block:
    """The one block of a page (its name below docs/) with this mark."""
    (found,) = [block for block in blocks(DOCS / page) if block.mark == mark]
    return found


def answer(page: str, mark: str) -> Any:
    return json.loads(marked(page, f"answer to {mark}").text)


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def codes(text: str) -> list[str]:
    """Everything in single backticks."""
    return _CODE.findall(text)


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, row by row, without the head."""
    _, _, rest = (DOCS / page).read_text().partition(f"\n{heading}\n")
    assert rest, f"{page} has no {heading!r}"
    rows: list[list[str]] = []
    for line in rest.splitlines():
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows or line.startswith("#"):
            break
    return rows[2:]


def between(page: str, begin: str, end: str) -> str:
    """The text between two marks."""
    return (DOCS / page).read_text().split(begin)[1].split(end)[0]
