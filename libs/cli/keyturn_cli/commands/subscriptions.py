"""`keyturn subscriptions`: what was bought and renews."""

from typing import Annotated

import typer

from keyturn_cli.session import Cursor, Limit, Reason, Yes, act, confirm, session

app = typer.Typer(no_args_is_help=True, help="What customers bought and what renews.")
COLUMNS = ("purchaseId", "status", "cycle", "periodUntil", "renewsAt", "cancelAtPeriodEnd", "resumesAt", "endedBecause")
Status = Annotated[str | None, typer.Option(help="Only these: trialing, active, past_due, suspended, ended.")]
Id = Annotated[str, typer.Argument(metavar="PURCHASE_ID")]
Plan = Annotated[str, typer.Argument(metavar="PLAN")]
Now = Annotated[bool, typer.Option("--now", help="At once, not with what is paid.")]


@app.command("list")
def show_all(ctx: typer.Context, *, status: Status = None, limit: Limit = 50, cursor: Cursor = None) -> None:
    """List subscriptions, newest first."""
    here = session(ctx)
    here.out.rows(here.client.get("/api/subscriptions", status=status, limit=limit, cursor=cursor), COLUMNS)


@app.command()
def cancel(ctx: typer.Context, *, purchase_id: Id, reason: Reason, now: Now = False, yes: Yes = False) -> None:
    """End a subscription with what is paid, or at once. Nothing is paid back."""
    when = "at once" if now else "with what is paid"
    confirm(f"End {purchase_id} {when}? Its install is then deleted after the retention time.", yes=yes)
    body = {"reason": reason, "when": "now" if now else "period_end"}
    act(ctx, f"/api/subscriptions/{purchase_id}/cancel", f"{purchase_id}: ends {when}", body)


@app.command()
def keep(ctx: typer.Context, *, purchase_id: Id, reason: Reason) -> None:
    """Take back a cancellation whose end has not come."""
    act(ctx, f"/api/subscriptions/{purchase_id}/keep", f"{purchase_id}: goes on", {"reason": reason})


@app.command()
def pause(ctx: typer.Context, *, purchase_id: Id, reason: Reason) -> None:
    """Suspend the install and keep what is paid for later."""
    act(ctx, f"/api/subscriptions/{purchase_id}/pause", f"{purchase_id}: is paused", {"reason": reason})


@app.command()
def resume(ctx: typer.Context, *, purchase_id: Id, reason: Reason) -> None:
    """End a pause."""
    act(ctx, f"/api/subscriptions/{purchase_id}/resume", f"{purchase_id}: goes on", {"reason": reason})


@app.command()
def change_plan(ctx: typer.Context, *, purchase_id: Id, plan: Plan, reason: Reason, yes: Yes = False) -> None:
    """Give it another plan of its product. What that costs the customer pays first; what it saves is their credit."""
    here = session(ctx)
    quote = here.client.post(f"/api/subscriptions/{purchase_id}/plan/quote", {"planId": plan})
    money = f"charge {quote['charge']}, credit {quote['credit']} {quote['currency']} (minor units)"
    confirm(f"{purchase_id} from {quote['fromPlan']} to {quote['plan']}: {money}?", yes=yes)
    body = {"quoteId": quote["quoteId"], "reason": reason}
    act(ctx, f"/api/subscriptions/{purchase_id}/plan", f"{purchase_id}: {money}", body)


@app.command()
def push_plan(ctx: typer.Context, *, purchase_id: Id, reason: Reason) -> None:
    """Have an install tried anew that does not follow a change of plan, since its job waits for somebody."""
    act(ctx, f"/api/subscriptions/{purchase_id}/plan/push", f"{purchase_id}: is tried anew", {"reason": reason})


@app.command()
def call_off_plan(ctx: typer.Context, *, purchase_id: Id, reason: Reason, yes: Yes = False) -> None:
    """Call off a change of plan that the install has not followed: the old plan and the money come back."""
    confirm(f"Call off the change of plan of {purchase_id}? What was paid for it goes back.", yes=yes)
    act(ctx, f"/api/subscriptions/{purchase_id}/plan/call-off", f"{purchase_id}: old plan", {"reason": reason})
