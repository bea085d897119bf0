"""`keyturn audit`: who did what, and why."""

from typing import Annotated

import typer

from keyturn_cli.session import Cursor, Limit, session

COLUMNS = ("time", "actor", "role", "action", "target", "reason")
Actor = Annotated[str | None, typer.Option(help="Only this person's doings.")]
Action = Annotated[str | None, typer.Option(help="Only this action.")]
Target = Annotated[str | None, typer.Option(help="Only what was done to this.")]


def audit(
    ctx: typer.Context,
    *,
    actor: Actor = None,
    action: Action = None,
    target: Target = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> None:
    """Search the audit log, newest first."""
    here = session(ctx)
    found = here.client.get("/api/audit", actor=actor, action=action, target=target, limit=limit, cursor=cursor)
    here.out.rows(found, COLUMNS)
