"""`keyturn payments`: money that came, and what to do with what does not fit."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from keyturn_cli.errors import UsageFailed
from keyturn_cli.session import Amount, Credit, Cursor, Limit, Reason, Yes, act, back, confirm, session

app = typer.Typer(no_args_is_help=True, help="Money that came, above all what waits for a decision.")
COLUMNS = ("id", "state", "reviewReason", "amount", "currency", "purchaseId", "provider", "paymentKey", "recordedAt")
Id = Annotated[str, typer.Argument(metavar="PAYMENT_ID")]
Purchase = Annotated[str | None, typer.Option(help="With `match`: this purchase, not the one it names.")]


class State(StrEnum):
    """`surplus`: a second payment of one purchase."""

    review = "review"
    surplus = "surplus"
    matched = "matched"
    foreign = "foreign"


class Decision(StrEnum):
    """It pays a purchase, or it is not ours."""

    match = "match"
    foreign = "foreign"


@app.command("list")
def show_all(
    ctx: typer.Context,
    *,
    state: Annotated[State, typer.Option(help="Which ones.")] = State.review,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> None:
    """List payments, newest first; without --state those that wait for a decision."""
    here = session(ctx)
    here.out.rows(here.client.get("/api/payments", state=state.value, limit=limit, cursor=cursor), COLUMNS)


@app.command()
def decide(
    ctx: typer.Context,
    *,
    payment_id: Id,
    decision: Decision,
    reason: Reason,
    purchase: Purchase = None,
    yes: Yes = False,
) -> None:
    """Decide on a payment in review: `match` pays its purchase, `foreign` is none of ours."""
    body: dict[str, Any] = {"decision": decision.value, "reason": reason}
    if decision is Decision.match:
        confirm(f"Count {payment_id} as paying its purchase? What was bought is then delivered.", yes=yes)
        body |= {"purchaseId": purchase} if purchase else {}
    elif purchase:
        raise UsageFailed("what is not ours pays no purchase: leave out --purchase")
    else:
        confirm(f"Take {payment_id} for none of ours? Nothing is delivered for it, and nobody is asked again.", yes=yes)
    act(ctx, f"/api/payments/{payment_id}/decide", f"{payment_id}: {decision.value}", body)


@app.command()
def refund(
    ctx: typer.Context,
    *,
    payment_id: Id,
    reason: Reason,
    amount: Amount = None,
    credit: Credit = None,
    yes: Yes = False,
) -> None:
    """Give back a second payment, one that does not fit, or one of an earlier period."""
    confirm(f"Give back {payment_id}? Money cannot be called back.", yes=yes)
    body: dict[str, Any] = {"reason": reason} | back(amount, credit)
    act(ctx, f"/api/payments/{payment_id}/refund", f"{payment_id}: refund is on its way", body)
