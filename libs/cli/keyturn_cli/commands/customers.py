"""`keyturn customers`: who buys."""

from typing import Annotated

import typer

from keyturn_cli.session import Cursor, Limit, session

app = typer.Typer(no_args_is_help=True, help="Who buys, and what of theirs is kept.")
COLUMNS = ("id", "email", "name", "locale", "createdAt")
Id = Annotated[str, typer.Argument(metavar="CUSTOMER_ID")]
Email = Annotated[str | None, typer.Option(help="The one with this address.")]


@app.command("list")
def show_all(ctx: typer.Context, *, email: Email = None, limit: Limit = 50, cursor: Cursor = None) -> None:
    """List customers, newest first."""
    here = session(ctx)
    here.out.rows(here.client.get("/api/customers", email=email, limit=limit, cursor=cursor), COLUMNS)


@app.command()
def show(ctx: typer.Context, *, customer_id: Id) -> None:
    """Show one customer with purchases, subscriptions and payments."""
    here = session(ctx)
    here.out.one(here.client.get(f"/api/customers/{customer_id}"))
