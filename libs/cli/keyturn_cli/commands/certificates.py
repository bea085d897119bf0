"""`keyturn certificates`: until when they are valid, and one anew."""

from typing import Annotated

import typer

from keyturn_cli.session import Cursor, Limit, Reason, act, session

app = typer.Typer(no_args_is_help=True, help="The certificates of installs.")
COLUMNS = ("id", "names", "challenge", "status", "expiresAt", "renewAt", "retryAt", "message")
Id = Annotated[str, typer.Argument(metavar="CERTIFICATE_ID")]


@app.command("list")
def show_all(ctx: typer.Context, *, limit: Limit = 50, cursor: Cursor = None) -> None:
    """List certificates, oldest first."""
    here = session(ctx)
    here.out.rows(here.client.get("/api/certificates", limit=limit, cursor=cursor), COLUMNS)


@app.command()
def renew(ctx: typer.Context, *, certificate_id: Id, reason: Reason) -> None:
    """Order one anew, now; also where it waits for another try, or for you."""
    act(ctx, f"/api/certificates/{certificate_id}/renew", f"{certificate_id}: being ordered", {"reason": reason})
