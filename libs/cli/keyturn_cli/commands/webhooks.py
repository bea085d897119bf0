"""`keyturn webhooks`: the raw events of the providers, as they were stored."""

from typing import Annotated

import typer

from keyturn_cli.errors import UsageFailed
from keyturn_cli.session import Cursor, Limit, Reason, act, session

app = typer.Typer(no_args_is_help=True, help="What the payment providers sent, as it was stored.")
COLUMNS = ("id", "provider", "type", "status", "cause", "eventId", "receivedAt")
State = Annotated[str | None, typer.Option(help="Only these, such as `unreadable`.")]
Provider = Annotated[str | None, typer.Option(help="Only this provider's.")]


@app.command("list")
def show_all(
    ctx: typer.Context, *, status: State = None, provider: Provider = None, limit: Limit = 50, cursor: Cursor = None
) -> None:
    """List stored webhooks, newest first."""
    here = session(ctx)
    found = here.client.get("/api/webhooks", status=status, provider=provider, limit=limit, cursor=cursor)
    here.out.rows(found, COLUMNS)


@app.command()
def show(ctx: typer.Context, *, webhook_id: str) -> None:
    """Show one stored webhook."""
    here = session(ctx)
    here.out.one(here.client.get(f"/api/webhooks/{webhook_id}"))


@app.command()
def reprocess(
    ctx: typer.Context,
    *,
    webhook_id: Annotated[str | None, typer.Argument(metavar="[WEBHOOK_ID]")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every webhook that could not be read.")] = False,
    reason: Reason,
) -> None:
    """Read a stored webhook again, as if it had just arrived."""
    if (webhook_id is None) != everything:
        raise UsageFailed("name a webhook, or --all: exactly one of them")
    path = "/api/webhooks/reprocess" if everything else f"/api/webhooks/{webhook_id}/reprocess"
    act(ctx, path, "read again", {"reason": reason})
