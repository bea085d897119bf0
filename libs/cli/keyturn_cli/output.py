"""What the terminal shows. Data may hold anything a customer or a provider typed, so nothing of it is ever markup or
a terminal command here."""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from keyturn_cli.errors import CommandFailed, ServerProblem

# The API gives all times in UTC; what is smaller than a second is in the JSON.
_MOMENT = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)$")
_GOOD = {"active", "paid", "sent", "completed", "done", "matched", "on", "handled"}
_BAD = {"failed", "dead", "expired", "refunded", "disputed", "unreadable", "revoked", "deleted"}
_WAITING = {"pending", "provisioning", "setup_pending", "waiting", "processing", "suspended", "deleting", "review"}


def safe(value: object) -> str:
    """Text without control, format or direction characters: those become visible escapes."""
    return "".join(_visible(char) for char in str(value))


def _visible(char: str) -> str:
    if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}"
    return char


def cell(value: object) -> Text:
    """One value in a table."""
    if value is None or value == "":
        return Text("-", style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, list | tuple | dict):
        return Text(safe(json.dumps(value, ensure_ascii=False)))
    text = safe(value)
    return Text(_MOMENT.sub(r"\1 \2 UTC", text), style=_style(text))


def _style(text: str) -> str:
    if text in _GOOD:
        return "green"
    if text in _BAD:
        return "red"
    return "yellow" if text in _WAITING else ""


class Output:
    """Tables for people, or one JSON document for programs."""

    def __init__(self, console: Console, errors: Console, *, as_json: bool = False) -> None:
        self.console = console
        self.errors = errors
        self.as_json = as_json

    def rows(self, document: Any, columns: Sequence[str]) -> None:
        """A list answer: `items` as a table with these columns, and how to see the next page."""
        if self.as_json:
            return self.json(document)
        page = document if isinstance(document, Mapping) else {"items": document}
        items = list(page.get("items") or ())
        if not items:
            return self.note("nothing here")
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            table.add_column(_title(column), overflow="fold", no_wrap=column == "id")
        for item in items:
            table.add_row(*(cell(item.get(column)) for column in columns))
        self.console.print(table)
        for service in page.get("unavailable") or ():
            self.warn(f"{safe(service)} does not answer: its part is missing")
        if page.get("nextCursor"):
            self.note(f"more: --cursor {safe(page['nextCursor'])}")
        return None

    def one(self, document: Mapping[str, Any]) -> None:
        """One thing: its plain values, then a table for each list in it."""
        if self.as_json:
            return self.json(document)
        plain = Table(box=None, show_header=False, pad_edge=False)
        plain.add_column(style="dim")
        plain.add_column(overflow="fold")
        lists: list[tuple[str, list[Mapping[str, Any]]]] = []
        for name, value in document.items():
            items = [value] if isinstance(value, Mapping) and value else value
            if isinstance(items, list) and items and all(isinstance(item, Mapping) for item in items):
                lists.append((name, items))
            else:
                plain.add_row(_title(name), cell(value))
        self.console.print(plain)
        for name, items in lists:
            self.line(("", ""))
            self.line((_title(name), "bold"))
            self.rows({"items": items}, _columns(items))
        return None

    def json(self, document: Any) -> None:
        # ASCII only: then no character in it can reach the terminal as a command.
        self.console.file.write(json.dumps(document, indent=2) + "\n")

    def line(self, *parts: tuple[object, str]) -> None:
        """One line of text from (value, style) pairs."""
        self.console.print(Text(" ").join(Text(safe(value), style=style) for value, style in parts), soft_wrap=True)

    def note(self, message: str) -> None:
        self.errors.print(Text(message, style="dim"))

    def warn(self, message: str) -> None:
        self.errors.print(Text(message, style="yellow"))

    def done(self, message: str, document: Any) -> None:
        """What an action answers."""
        if self.as_json:
            self.json(document)
        else:
            self.console.print(Text(safe(message), style="green"))

    def failure(self, failed: CommandFailed) -> None:
        """A failure as text; with --json, the problem document itself."""
        if self.as_json and isinstance(failed, ServerProblem):
            self.errors.file.write(json.dumps(failed.document, indent=2) + "\n")
            return
        self.errors.print(Text.assemble(("error: ", "bold red"), safe(failed)))
        if isinstance(failed, ServerProblem):
            self.errors.print(Text(f"       {safe(failed.code)} ({failed.status})", style="dim"))
            for name, value in _extras(failed.document):
                self.errors.print(Text(f"       {safe(name)}: {safe(value)}", style="dim"), soft_wrap=True)


def _extras(document: Mapping[str, Any]) -> Iterable[tuple[str, object]]:
    known = {"type", "title", "status", "code", "detail", "instance"}
    for name, value in document.items():
        if name == "errors" and isinstance(value, list):  # the wrong fields of a request
            yield from ((str(one.get("field") or one.get("in")), one.get("detail")) for one in value)
        elif name == "faults" and isinstance(value, list):  # of a file
            yield from ((f"{one.get('file')}:{one.get('line')}", one.get("detail")) for one in value)
        elif name not in known:
            yield name, value


def _columns(items: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for item in items for name in item))


def _title(name: str) -> str:
    return safe("".join(f" {c.lower()}" if c.isupper() else c for c in name))
