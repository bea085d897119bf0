"""`keyturn installs`: the customers' instances, and what an operator can do to one."""

from typing import Annotated

import typer

from keyturn_cli.session import Cursor, Limit, Reason, Yes, act, confirm, session

app = typer.Typer(no_args_is_help=True, help="The customers' instances.")
COLUMNS = ("id", "status", "product", "plan", "blueprint", "subdomain", "domain", "createdAt")
ORPHANS = ("installId", "name", "kind", "target", "cause", "message", "attempts")
Status = Annotated[str | None, typer.Option(help="Only these: provisioning, failed, setup_pending, active, ...")]
Id = Annotated[str, typer.Argument(metavar="INSTALL_ID")]


@app.command("list")
def show_all(ctx: typer.Context, *, status: Status = None, limit: Limit = 50, cursor: Cursor = None) -> None:
    """List installs, newest first."""
    here = session(ctx)
    here.out.rows(here.client.get("/api/installs", status=status, limit=limit, cursor=cursor), COLUMNS)


@app.command()
def show(ctx: typer.Context, *, install_id: Id) -> None:
    """Show one install with its job, steps, resources, waits and history."""
    here = session(ctx)
    here.out.one(here.client.get(f"/api/installs/{install_id}"))


@app.command()
def retry(ctx: typer.Context, *, install_id: Id, reason: Reason) -> None:
    """Try a failed or waiting job again, now."""
    act(ctx, f"/api/installs/{install_id}/retry", f"{install_id}: tried again", {"reason": reason})


@app.command()
def suspend(ctx: typer.Context, *, install_id: Id, reason: Reason, yes: Yes = False) -> None:
    """Stop an install serving, until it is resumed."""
    confirm(f"Suspend {install_id}? Its customer can no longer use it.", yes=yes)
    act(ctx, f"/api/installs/{install_id}/suspend", f"{install_id}: being suspended", {"reason": reason})


@app.command()
def resume(ctx: typer.Context, *, install_id: Id, reason: Reason) -> None:
    """Take back an operator's suspension, or an operator's deletion while the data is kept."""
    act(ctx, f"/api/installs/{install_id}/resume", f"{install_id}: being resumed", {"reason": reason})


@app.command()
def reissue(ctx: typer.Context, *, install_id: Id, reason: Reason) -> None:
    """Send a new setup link by mail; the old one is dead."""
    act(ctx, f"/api/installs/{install_id}/reissue", f"{install_id}: a new link is on its way", {"reason": reason})


@app.command()
def delete(
    ctx: typer.Context,
    *,
    install_id: Id,
    reason: Reason,
    now: Annotated[bool, typer.Option("--now", help="Do not keep the data for the retention time.")] = False,
    yes: Yes = False,
) -> None:
    """Stop an install, and remove it when its data has been kept for the retention time; with --now at once."""
    question = f"Delete {install_id}? It stops now; its data goes after the retention time."
    if now:
        question = f"Delete {install_id} and its data, now? This cannot be taken back."
    confirm(question, yes=yes)
    act(ctx, f"/api/installs/{install_id}/delete", f"{install_id}: being deleted", {"reason": reason, "now": now})


@app.command()
def orphans(ctx: typer.Context, *, limit: Limit = 50) -> None:
    """List what could not be removed; it is tried again by itself."""
    here = session(ctx)
    here.out.rows(here.client.get("/api/orphans", limit=limit), ORPHANS)
