"""What every command needs: the logged-in client, and where to write."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console

from keyturn_cli.client import Client
from keyturn_cli.config import config_file, load
from keyturn_cli.errors import UsageFailed
from keyturn_cli.output import Output

Reason = Annotated[str, typer.Option("--reason", "-r", help="Why: kept in the audit log.", prompt="Reason")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="At most this many.")]
Amount = Annotated[int | None, typer.Option(min=0, help="In the minor unit (1000 is 10.00); else all that is left.")]
Credit = Annotated[
    int | None,
    typer.Option(min=0, help="So much of what credit paid becomes credit again; without --amount all of it does."),
]
Cursor = Annotated[str | None, typer.Option(help="Go on where the page before ended.")]

WIDE = 1000


@dataclass
class Session:
    """Made once a command; tests pass their own with a transport and a file."""

    file: Path = field(default_factory=config_file)
    transport: httpx.BaseTransport | None = None
    pause: Callable[[float], None] = time.sleep
    as_json: bool = False

    @cached_property
    def client(self) -> Client:
        return Client(load(self.file), self.transport, self.pause)

    @cached_property
    def out(self) -> Output:
        # Into a pipe or a file nothing is folded: a line stays a line.
        width = None if sys.stdout.isatty() else WIDE
        console = Console(highlight=False, width=width)
        return Output(console, Console(stderr=True, highlight=False, soft_wrap=True), as_json=self.as_json)


def session(ctx: typer.Context) -> Session:
    found = ctx.find_object(Session)
    assert found is not None, "the root command puts it there"
    return found


def back(amount: int | None, credit: int | None) -> dict[str, int]:
    """What is to go back, as money and as credit."""
    if amount == 0 and not credit:
        raise UsageFailed("without money and without credit nothing goes back")
    return ({} if amount is None else {"amount": amount}) | ({} if credit is None else {"credit": credit})


def confirm(question: str, *, yes: bool) -> None:
    """Asks before something that cannot be taken back. Raises `typer.Abort` on no."""
    if not yes:
        typer.confirm(question, abort=True)


def act(ctx: typer.Context, path: str, done: str, body: Mapping[str, Any]) -> None:
    """POSTs one action and says that it is done."""
    here = session(ctx)
    here.out.done(done, here.client.post(path, body))


def one_of(ids: list[str], cause: str | None, *, everything: bool) -> dict[str, Any]:
    """Which work an action means: exactly one of ids, a cause, or all of it."""
    if sum((bool(ids), cause is not None, everything)) != 1:
        raise UsageFailed("name ids, or --cause, or --all: exactly one of them")
    if ids:
        return {"ids": ids}
    return {"all": True} if everything else {"cause": cause}
