"""`keyturn stats`: how things stand, in numbers."""

from typing import Annotated

import typer

from keyturn_cli.session import session

Days = Annotated[int, typer.Option(min=1, max=366, help="Of the purchases opened in so many days.")]


def stats(ctx: typer.Context, *, days: Days = 30) -> None:
    """Count purchases and installs by their state."""
    here = session(ctx)
    here.out.one(here.client.get("/api/stats", days=days))
