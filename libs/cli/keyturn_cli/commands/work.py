"""`keyturn work`: what is still to be done, what waits and why, and what has died."""

from typing import Annotated, Any

import typer

from keyturn_cli.session import Cursor, Limit, Reason, Yes, act, confirm, one_of, session

app = typer.Typer(no_args_is_help=True, help="What is still to be done, waits, or has died; over all services.")
COLUMNS = ("id", "kind", "key", "state", "attempts", "due", "reason", "cause")
CAUSES = ("service", "cause", "count", "first", "last", "example")
Ids = Annotated[list[str] | None, typer.Argument(metavar="[SERVICE:ID]...")]
State = Annotated[str | None, typer.Option(help="Only these: open, dead, done, resolved, discarded, cancelled.")]
Kind = Annotated[str | None, typer.Option(help="Only this kind of work.")]
Cause = Annotated[str | None, typer.Option(help="Everything that died of this.")]
Service = Annotated[str | None, typer.Option(help="Only this service's: gateway, billing, provisioner, notifier.")]
All = Annotated[bool, typer.Option("--all", help="Everything that has died.")]


@app.command("list")
def show_all(
    ctx: typer.Context,
    *,
    state: State = None,
    kind: Kind = None,
    cause: Cause = None,
    service: Service = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> None:
    """List work; without --state what has died, then what is open."""
    here = session(ctx)
    wanted: dict[str, Any] = {"state": state, "kind": kind, "cause": cause, "service": service}
    here.out.rows(here.client.get("/api/work", limit=limit, cursor=cursor, **wanted), COLUMNS)


@app.command()
def causes(ctx: typer.Context) -> None:
    """Group what has died by its cause."""
    here = session(ctx)
    here.out.rows(here.client.get("/api/work/causes"), CAUSES)


@app.command()
def show(ctx: typer.Context, *, work_id: Annotated[str, typer.Argument(metavar="SERVICE:ID")]) -> None:
    """Show one work with its attempts and errors."""
    here = session(ctx)
    here.out.one(here.client.get(f"/api/work/{work_id}"))


@app.command()
def retry(
    ctx: typer.Context,
    *,
    reason: Reason,
    ids: Ids = None,
    cause: Cause = None,
    service: Service = None,
    everything: All = False,
) -> None:
    """Try dead or waiting work again, now: one, several, one cause's, or all."""
    _act(ctx, "retry", one_of(ids or [], cause, everything=everything), service, reason)


@app.command()
def resolve(
    ctx: typer.Context,
    *,
    reason: Reason,
    ids: Ids = None,
    cause: Cause = None,
    service: Service = None,
    everything: All = False,
) -> None:
    """Say that dead work was dealt with by hand."""
    _act(ctx, "resolve", one_of(ids or [], cause, everything=everything), service, reason)


@app.command()
def discard(
    ctx: typer.Context,
    *,
    reason: Reason,
    ids: Ids = None,
    cause: Cause = None,
    service: Service = None,
    everything: All = False,
    yes: Yes = False,
) -> None:
    """Give work up: it will never be done."""
    which = one_of(ids or [], cause, everything=everything)
    confirm("Discard it? It will never be done.", yes=yes)
    _act(ctx, "discard", which, service, reason)


def _act(ctx: typer.Context, action: str, which: dict[str, Any], service: str | None, reason: str) -> None:
    where = {"service": service} if service else {}
    act(ctx, f"/api/work/{action}", f"{action}: done", which | where | {"reason": reason})
