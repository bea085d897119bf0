"""`keyturn customers`: who buys."""

from typing import Annotated

import typer

from keyturn_cli.session import Cursor, Limit, Reason, Yes, act, confirm, session

app = typer.Typer(no_args_is_help=True, help="Who buys, and what of theirs is kept.")
COLUMNS = ("id", "email", "name", "locale", "createdAt", "erasureWantedAt", "erasedAt")
WITH_CREDIT = ("id", "email", "name", "creditLeft", "currency", "leftSince")
Id = Annotated[str, typer.Argument(metavar="CUSTOMER_ID")]
Wanted = Annotated[bool, typer.Option("--to-erase", help="Who asked to be forgotten and is not yet.")]
Left = Annotated[bool, typer.Option("--credit-left", help="Who has credit that nothing uses any more.")]
End = Annotated[bool, typer.Option("--end-everything", help="End what runs now.")]
Email = Annotated[str | None, typer.Option(help="The one with this address.")]


@app.command("list")
def show_all(
    ctx: typer.Context,
    *,
    email: Email = None,
    to_erase: Wanted = False,
    credit_left: Left = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> None:
    """List customers, newest first."""
    here = session(ctx)
    only = {"erasure": "wanted" if to_erase else None, "credit": "left" if credit_left else None}
    found = here.client.get("/api/customers", email=email, **only, limit=limit, cursor=cursor)
    here.out.rows(found, WITH_CREDIT if credit_left else COLUMNS)


@app.command()
def show(ctx: typer.Context, *, customer_id: Id) -> None:
    """Show one customer with purchases, subscriptions and payments."""
    here = session(ctx)
    here.out.one(here.client.get(f"/api/customers/{customer_id}"))


@app.command()
def export(ctx: typer.Context, *, customer_id: Id) -> None:
    """Everything that is kept about one customer, as one JSON document."""
    here = session(ctx)
    here.out.json(here.client.get(f"/api/customers/{customer_id}/export"))


@app.command()
def erase(
    ctx: typer.Context, *, customer_id: Id, reason: Reason, end_everything: End = False, yes: Yes = False
) -> None:
    """Forget a customer for good, in all services. What the law wants kept stays: amounts, dates, invoices."""
    more = " What runs is ended now, and its data is deleted." if end_everything else ""
    confirm(f"Forget {customer_id} for good?{more}", yes=yes)
    body = {"reason": reason, "endEverything": end_everything}
    act(ctx, f"/api/customers/{customer_id}/erase", f"{customer_id}: is being forgotten", body)
