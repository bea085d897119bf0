"""`keyturn journey`: everything that happened to one purchase, in order."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from keyturn_cli.output import Output
from keyturn_cli.session import session

PurchaseId = Annotated[str, typer.Argument(metavar="PURCHASE_ID")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Stay, and show what happens as it happens.")]


def journey(ctx: typer.Context, *, purchase_id: PurchaseId, follow: Follow = False) -> None:
    """Show the journey of one purchase."""
    here = session(ctx)
    if not follow:
        return _show(here.out, here.client.get(f"/api/journeys/{purchase_id}"))
    first: str | None = None
    for event in here.client.stream(f"/api/journeys/{purchase_id}/events"):
        if event.event == "journey":
            told = json.loads(event.data)
            first = first or told["time"]
            _line(here.out, told, first)
    return None


def _show(out: Output, document: Mapping[str, Any]) -> None:
    if out.as_json:
        return out.json(document)
    out.one({name: value for name, value in document.items() if name not in ("events", "truncated")})
    out.line(("", ""))
    out.line(("Events", "bold"))
    events: list[Mapping[str, Any]] = list(document.get("events") or ())
    for told in events:
        _line(out, told, events[0]["time"])
    if document.get("truncated"):
        out.note("only the first events are shown")
    return None


def _line(out: Output, told: Mapping[str, Any], first: str) -> None:
    if out.as_json:
        out.console.file.write(json.dumps(told) + "\n")
        return
    time = datetime.fromisoformat(told["time"])
    passed = (time - datetime.fromisoformat(first)).total_seconds()
    out.line(
        (f"{time:%H:%M:%S}.{time.microsecond // 1000:03}", "dim"),
        (f"{passed:+9.3f}s", "dim"),
        (f"{told['publisher']:<11}", "cyan"),
        (f"{told['type']:<28}", "bold"),
        (told.get("text") or "", ""),
    )
