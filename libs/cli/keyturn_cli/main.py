"""The `keyturn` command: a client of the operator API.

Exit codes: 0 done, 1 the server refused, 2 wrong usage, 3 the server is not reachable, 4 not allowed.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from keyturn_cli.commands import (
    audit,
    catalog,
    certificates,
    coupons,
    credit,
    customers,
    installs,
    invoices,
    journey,
    login,
    messages,
    nginx,
    payments,
    purchases,
    runs,
    servers,
    stats,
    subscriptions,
    tokens,
    webhooks,
    work,
)
from keyturn_cli.errors import CommandFailed
from keyturn_cli.session import Session, session


class FailingReadably(TyperGroup):
    """Turns a failure into its message and exit code, in one place for all commands."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CommandFailed as failed:
            session(ctx).out.failure(failed)
            raise typer.Exit(failed.exit_code) from None


app = typer.Typer(cls=FailingReadably, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback(help=__doc__)
def root(
    ctx: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Answer with JSON, for programs.")] = False,
) -> None:
    ctx.obj = ctx.obj or Session()
    ctx.obj.as_json = as_json


app.command("login")(login.login)
app.command("journey")(journey.journey)
app.command("audit")(audit.audit)
app.command("stats")(stats.stats)
app.add_typer(catalog.app, name="catalog")
app.add_typer(purchases.app, name="purchases")
app.add_typer(subscriptions.app, name="subscriptions")
app.add_typer(payments.app, name="payments")
app.add_typer(invoices.app, name="invoices")
app.add_typer(credit.app, name="credit")
app.add_typer(coupons.app, name="coupons")
app.add_typer(customers.app, name="customers")
app.add_typer(runs.app, name="runs")
app.add_typer(installs.app, name="installs")
app.add_typer(certificates.app, name="certificates")
app.add_typer(servers.app, name="servers")
app.add_typer(nginx.app, name="nginx")
app.add_typer(work.app, name="work")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(messages.app, name="messages")
app.add_typer(tokens.app, name="tokens")


def main() -> None:
    app()
