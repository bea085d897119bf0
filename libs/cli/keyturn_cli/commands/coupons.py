"""`keyturn coupons`: who pays less, and who did."""

from typing import Annotated, Any

import typer

from keyturn_cli.errors import UsageFailed
from keyturn_cli.session import Cursor, Limit, Reason, Yes, act, confirm, session

app = typer.Typer(no_args_is_help=True, help="Coupons, and who redeemed them.")
COLUMNS = (
    "code",
    "active",
    "percent",
    "amount",
    "duration",
    "redeemed",
    "limit",
    "limitPerCustomer",
    "until",
    "source",
)
Code = Annotated[str, typer.Argument(metavar="CODE")]
Percent = Annotated[int | None, typer.Option(min=1, max=100, help="This much of the price is taken off.")]
Amounts = Annotated[
    list[str] | None, typer.Option("--amount", help="EUR=500 takes off 5.00 euro; one for each currency.")
]
Duration = Annotated[str, typer.Option(help="Which periods: first, always, or how many.")]
Products = Annotated[list[str] | None, typer.Option("--product", help="Only these; else all.")]
Currencies = Annotated[list[str] | None, typer.Option("--currency", help="Of a percentage: only these; else all.")]
InTotal = Annotated[int | None, typer.Option("--in-total", min=1, help="At most this many purchases.")]
PerCustomer = Annotated[int | None, typer.Option(min=1, help="At most this many of one customer.")]
Start = Annotated[str | None, typer.Option("--from", help="Not before: 2026-12-01T00:00:00Z.")]
Until = Annotated[str | None, typer.Option(help="No longer from this moment on.")]


@app.command("list")
def show_all(ctx: typer.Context, *, limit: Limit = 50, cursor: Cursor = None) -> None:
    """List coupons by code."""
    here = session(ctx)
    here.out.rows(here.client.get("/api/coupons", limit=limit, cursor=cursor), COLUMNS)


@app.command()
def show(ctx: typer.Context, *, code: Code) -> None:
    """Show one coupon with its newest redemptions."""
    here = session(ctx)
    here.out.one(here.client.get(f"/api/coupons/{code}"))


@app.command()
def redemptions(ctx: typer.Context, *, code: Code, limit: Limit = 50, cursor: Cursor = None) -> None:
    """List who redeemed a coupon, newest first."""
    here = session(ctx)
    found = here.client.get(f"/api/coupons/{code}/redemptions", limit=limit, cursor=cursor)
    here.out.rows(found, ("purchaseId", "status", "discount", "amount", "currency", "redeemedAt", "givenBackAt"))


@app.command()
def create(
    ctx: typer.Context,
    *,
    code: Code,
    reason: Reason,
    percent: Percent = None,
    amount: Amounts = None,
    duration: Duration = "first",
    product: Products = None,
    currency: Currencies = None,
    in_total: InTotal = None,
    per_customer: PerCustomer = None,
    start: Start = None,
    until: Until = None,
) -> None:
    """Make a coupon. Its terms cannot be changed later: end it, and make another."""
    terms: dict[str, Any] = {
        "percent": percent,
        "amount": _amounts(amount) if amount else None,
        "duration": int(duration) if duration.isdecimal() else duration,
        "products": product,
        "currencies": currency,
        "limit": in_total,
        "limitPerCustomer": per_customer,
        "from": start,
        "until": until,
    }
    given = {name: value for name, value in terms.items() if value is not None}
    act(ctx, "/api/coupons", f"{code}: can be redeemed", {"code": code, "reason": reason} | given)


@app.command()
def end(ctx: typer.Context, *, code: Code, reason: Reason, yes: Yes = False) -> None:
    """End a coupon for good. Whoever has redeemed it keeps what was sold."""
    confirm(f"End {code} for good?", yes=yes)
    act(ctx, f"/api/coupons/{code}/end", f"{code}: ended", {"reason": reason})


def _amounts(given: list[str]) -> dict[str, int]:
    try:
        return {currency: int(amount) for currency, amount in (one.split("=") for one in given)}
    except ValueError:
        raise UsageFailed("an amount is a currency and a whole number of its minor unit: EUR=500") from None
