"""`keyturn tokens`: who may use the operator API."""

from enum import StrEnum
from typing import Annotated

import typer

from keyturn_cli.session import Reason, Yes, confirm, session

app = typer.Typer(no_args_is_help=True, help="Tokens of the operator API (admin only).")
COLUMNS = ("id", "name", "operator", "role", "hint", "createdAt", "expiresAt", "lastUsedAt", "revokedAt")


class Role(StrEnum):
    """What a token may do; each includes the ones before."""

    viewer = "viewer"
    operator = "operator"
    admin = "admin"


@app.command("list")
def show_all(ctx: typer.Context) -> None:
    """List the tokens; their secrets are not kept anywhere."""
    here = session(ctx)
    here.out.rows(here.client.get("/api/tokens"), COLUMNS)


@app.command()
def create(
    ctx: typer.Context,
    *,
    name: Annotated[str, typer.Argument(help="What the token is for.")],
    reason: Reason,
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.viewer,
    operator: Annotated[str | None, typer.Option(help="Whose it is; else yours.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="It ends after so many days.")] = None,
) -> None:
    """Make a token. It is shown once, here."""
    here = session(ctx)
    body = {"name": name, "role": role.value, "operator": operator, "days": days, "reason": reason}
    made = here.client.post("/api/tokens", {key: value for key, value in body.items() if value is not None})
    if here.as_json:
        return here.out.json(made)
    here.out.note("Shown this once; keep it in a safe place.")
    here.out.line((made["token"], ""))
    return None


@app.command()
def revoke(ctx: typer.Context, *, token_id: str, reason: Reason, yes: Yes = False) -> None:
    """End a token at once."""
    confirm(f"Revoke {token_id}? Whoever uses it is locked out at once.", yes=yes)
    here = session(ctx)
    here.out.done(f"{token_id}: revoked", here.client.delete(f"/api/tokens/{token_id}", {"reason": reason}))
