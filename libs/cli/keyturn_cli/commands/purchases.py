"""`keyturn purchases`: what was bought."""

from typing import Annotated, Any

import typer

from keyturn_cli.session import Amount, Credit, Cursor, Limit, Reason, Yes, act, back, confirm, session

app = typer.Typer(no_args_is_help=True, help="What customers bought.")
COLUMNS = ("id", "status", "product", "plan", "amount", "currency", "email", "createdAt")
Status = Annotated[str | None, typer.Option(help="Only these: pending, paid, failed, expired, disputed, refunded.")]
Id = Annotated[str, typer.Argument(metavar="PURCHASE_ID")]
Received = Annotated[
    int | None,
    typer.Option("--amount", min=0, help="In the minor unit (1000 is 10.00): refused unless it is what is owed."),
]
Reference = Annotated[str | None, typer.Option(help="Of the transfer, say: named again, it is the same payment.")]
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
def show(ctx: typer.Context, *, purchase_id: Id) -> None:
    """Show one purchase with its payments, refunds, disputes and entitlement."""
    here = session(ctx)
    here.out.one(here.client.get(f"/api/purchases/{purchase_id}"))


@app.command()
def mark_paid(
    ctx: typer.Context,
    *,
    purchase_id: Id,
    reason: Reason,
    amount: Received = None,
    reference: Reference = None,
    yes: Yes = False,
) -> None:
    """Say that the money came another way. What was bought is then delivered."""
    confirm(f"Mark {purchase_id} as paid? What was bought is then delivered.", yes=yes)
    body: dict[str, Any] = {"reason": reason} | ({} if amount is None else {"amount": amount})
    body |= {"reference": reference} if reference else {}
    act(ctx, f"/api/purchases/{purchase_id}/mark-paid", f"{purchase_id}: paid", body)


@app.command()
def refund(
    ctx: typer.Context,
    *,
    purchase_id: Id,
    reason: Reason,
    amount: Amount = None,
    credit: Credit = None,
    yes: Yes = False,
) -> None:
    """Give money back through the provider that took it; what follows for the install, the product's policy says."""
    what = "all that is left" if amount is None else amount
    confirm(f"Give back {what} of {purchase_id}? Money cannot be called back.", yes=yes)
    body: dict[str, Any] = {"reason": reason} | back(amount, credit)
    act(ctx, f"/api/purchases/{purchase_id}/refund", f"{purchase_id}: refund is on its way", body)
