"""`keyturn messages`: the mails to customers and what became of them."""

from typing import Annotated

import typer

from keyturn_cli.session import Cursor, Limit, Reason, act, session

app = typer.Typer(no_args_is_help=True, help="Mails to people, and what became of them.")
COLUMNS = ("id", "template", "state", "recipient", "attempts", "reason", "purchaseId", "created")
State = Annotated[str | None, typer.Option(help="Only these: pending, sent, failed.")]
Purchase = Annotated[str | None, typer.Option(help="Only about this purchase.")]


@app.command("list")
def show_all(
    ctx: typer.Context, *, state: State = None, purchase: Purchase = None, limit: Limit = 50, cursor: Cursor = None
) -> None:
    """List messages, newest first."""
    here = session(ctx)
    found = here.client.get("/api/messages", state=state, purchaseId=purchase, limit=limit, cursor=cursor)
    here.out.rows(found, COLUMNS)


@app.command()
def show(ctx: typer.Context, *, message_id: str) -> None:
    """Show one message with its attempts."""
    here = session(ctx)
    here.out.one(here.client.get(f"/api/messages/{message_id}"))


@app.command()
def retry(ctx: typer.Context, *, message_id: str, reason: Reason) -> None:
    """Send a failed message again."""
    act(ctx, f"/api/messages/{message_id}/retry", f"{message_id}: tried again", {"reason": reason})
