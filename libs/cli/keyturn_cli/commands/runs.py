"""`keyturn runs`: what is done at its time, and by hand."""

from typing import Annotated

import typer

from keyturn_cli.session import Cursor, Limit, Reason, session

app = typer.Typer(no_args_is_help=True, help="Scheduled runs: when they are due, and what they did.")
COLUMNS = (
    "id",
    "name",
    "status",
    "dryRun",
    "scheduledFor",
    "startedAt",
    "finishedAt",
    "startedBy",
    "changed",
    "failed",
)
SCHEDULES = ("name", "cron", "zone", "nextAt")
Name = Annotated[str, typer.Argument(metavar="NAME", help="One of those that `runs schedules` lists.")]
Only = Annotated[str | None, typer.Option("--name", help="Only this one's.")]
Id = Annotated[str, typer.Argument(metavar="RUN_ID")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and change nothing.")]


@app.command("list")
def show_all(ctx: typer.Context, *, name: Only = None, limit: Limit = 50, cursor: Cursor = None) -> None:
    """List runs, newest first."""
    here = session(ctx)
    here.out.rows(here.client.get("/api/runs", name=name, limit=limit, cursor=cursor), COLUMNS)


@app.command()
def schedules(ctx: typer.Context) -> None:
    """List which runs there are, and when each is due next."""
    here = session(ctx)
    here.out.rows(here.client.get("/api/runs/schedules"), SCHEDULES)


@app.command()
def show(ctx: typer.Context, *, run_id: Id, limit: Limit = 100, cursor: Cursor = None) -> None:
    """Show one run, with what it did for each customer."""
    here = session(ctx)
    here.out.one(here.client.get(f"/api/runs/{run_id}", limit=limit, cursor=cursor))


@app.command()
def start(ctx: typer.Context, *, name: Name, reason: Reason, dry_run: Dry = False) -> None:
    """Begin a run now. What it did already, it does not do again."""
    here = session(ctx)
    begun = here.client.post("/api/runs", {"name": name, "dryRun": dry_run, "reason": reason})
    here.out.done(f"{name}: begun; keyturn runs show {begun['id']}", begun)
