"""`keyturn credit`: what customers have with us."""

from typing import Annotated

import typer

from keyturn_cli.session import Cursor, Limit, Reason, Yes, act, confirm, session

app = typer.Typer(no_args_is_help=True, help="Customers' credit, used for their next renewals.")
COLUMNS = ("at", "amount", "currency", "source", "reason", "purchaseId")
Email = Annotated[str, typer.Argument(metavar="EMAIL")]
Amount = Annotated[int, typer.Option(min=1, help="In the minor unit: 1000 is 10.00.")]
Currency = Annotated[str, typer.Option(help="EUR, INR, ...")]
Taken = Annotated[int | None, typer.Option("--amount", min=1, help="In the minor unit; else all there is.")]
Reference = Annotated[str, typer.Option(help="Of the transfer to the customer: named again, it is the same one.")]
Key = Annotated[str | None, typer.Option(help="Repeated with the same one it is given once.")]


@app.command()
def show(ctx: typer.Context, *, email: Email, limit: Limit = 50, cursor: Cursor = None) -> None:
    """Show what a customer has, and every amount that was given or used."""
    here = session(ctx)
    found = here.client.get("/api/credits", email=email, limit=limit, cursor=cursor)
    if not here.as_json:
        for one in found["balances"]:
            here.out.line(("now:", "dim"), (one["balance"], "bold"), (one["currency"], ""))
    here.out.rows(found, COLUMNS)


@app.command()
def give(
    ctx: typer.Context,
    *,
    email: Email,
    amount: Amount,
    currency: Currency,
    reason: Reason,
    key: Key = None,
    yes: Yes = False,
) -> None:
    """Give a customer credit, for their next renewals in this currency."""
    confirm(f"Give {email} {amount} {currency} (minor units)?", yes=yes)
    body = {"email": email, "amount": amount, "currency": currency, "reason": reason} | ({"key": key} if key else {})
    act(ctx, "/api/credits", f"{email}: given", body)


@app.command()
def pay_out(
    ctx: typer.Context,
    *,
    email: Email,
    currency: Currency,
    reference: Reference,
    reason: Reason,
    amount: Taken = None,
    yes: Yes = False,
) -> None:
    """Say that a customer got credit as money, by a transfer of yours. It is no credit any more."""
    confirm(f"Did {email} get {amount or 'all their credit'} in {currency} (minor units)?", yes=yes)
    body = {"email": email, "currency": currency, "reference": reference, "reason": reason}
    act(ctx, "/api/credits/pay-out", f"{email}: paid out", body | ({"amount": amount} if amount else {}))


@app.command()
def forfeit(
    ctx: typer.Context,
    *,
    email: Email,
    currency: Currency,
    reason: Reason,
    amount: Taken = None,
    key: Key = None,
    yes: Yes = False,
) -> None:
    """Take credit from a customer for good."""
    confirm(f"Take {amount or 'all credit'} in {currency} (minor units) from {email} for good?", yes=yes)
    body = {"email": email, "currency": currency, "reason": reason} | ({"key": key} if key else {})
    act(ctx, "/api/credits/forfeit", f"{email}: forfeited", body | ({"amount": amount} if amount else {}))
