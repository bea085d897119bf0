"""`keyturn purchases`: what was bought."""

from typing import Annotated

import typer

from keyturn_cli.session import Cursor, Limit, session

app = typer.Typer(no_args_is_help=True, help="What customers bought.")
COLUMNS = ("id", "status", "product", "plan", "amount", "currency", "email", "createdAt")
Status = Annotated[str | None, typer.Option(help="Only these: pending, paid, failed, expired, disputed, refunded.")]
Email = Annotated[str | None, typer.Option(help="Only this customer's.")]


@app.command("list")
def show_all(
    ctx: typer.Context, *, status: Status = None, email: Email = None, limit: Limit = 50, cursor: Cursor = None
) -> None:
    """List purchases, newest first."""
    here = session(ctx)
    found = here.client.get("/api/purchases", status=status, email=email, limit=limit, cursor=cursor)
    here.out.rows(found, COLUMNS)


@app.command()
def show(ctx: typer.Context, *, purchase_id: str) -> None:
    """Show one purchase with its payments, refunds, disputes and entitlement."""
    here = session(ctx)
    here.out.one(here.client.get(f"/api/purchases/{purchase_id}"))
