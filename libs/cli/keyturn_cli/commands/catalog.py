"""`keyturn catalog`: what is sold."""

from pathlib import Path
from typing import Annotated, Any

import typer

from keyturn_cli.errors import UsageFailed
from keyturn_cli.session import Reason, Yes, confirm, session

app = typer.Typer(no_args_is_help=True, help="What is sold (admin only).")
COLUMNS = ("change", "what", "before", "after")
File = Annotated[Path, typer.Argument(help="The catalogue, as YAML.")]


@app.command()
def diff(ctx: typer.Context, file: File) -> None:
    """Show what a catalogue would change, and what is wrong with it. Changes nothing."""
    here = session(ctx)
    _show(ctx, here.client.post("/api/catalog/diff", _proposal(file)))


@app.command()
def apply(ctx: typer.Context, *, file: File, reason: Reason, yes: Yes = False) -> None:
    """Sell by a catalogue from now on. Who bought something keeps the price that they bought it at."""
    here, proposal = session(ctx), _proposal(file)
    if not yes:
        found = here.client.post("/api/catalog/diff", proposal)
        if not found["changes"]:
            return here.out.done("nothing to change", found)
        _show(ctx, found)
        confirm("Sell by this catalogue from now on?", yes=yes)
    applied = here.client.post("/api/catalog", {**proposal, "reason": reason})
    return here.out.done(f"{file.name}: {len(applied['changes'])} changed, {applied['unchanged']} as before", applied)


def _proposal(file: Path) -> dict[str, str]:
    try:
        return {"content": file.read_text(encoding="utf-8"), "file": file.name}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFailed(f"{file} cannot be read: {error}") from error


def _show(ctx: typer.Context, found: dict[str, Any]) -> None:
    here = session(ctx)
    if here.as_json:
        return here.out.json(found)
    here.out.rows({"items": found["changes"]}, COLUMNS)
    here.out.note(f"{found['unchanged']} as before")
    return None
