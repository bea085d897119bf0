"""`keyturn nginx`: the web server in front of the installs."""

from typing import Annotated

import typer

from keyturn_cli.output import safe
from keyturn_cli.session import Reason, session

app = typer.Typer(no_args_is_help=True, help="The web server in front of the installs.")
Dry = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")]


@app.command()
def regenerate(ctx: typer.Context, *, reason: Reason, dry_run: Dry = False) -> None:
    """Write its configuration anew from the database. Where nobody changed it by hand it stays as it is."""
    here = session(ctx)
    answer = here.client.post("/api/nginx/regenerate", {"reason": reason, "dryRun": dry_run})
    if not here.as_json:
        for line in answer["diff"]:
            here.out.line((line, {"+": "green", "-": "red"}.get(line[:1], "")))
        for one in answer["refused"]:
            here.out.warn(safe(f"{one['hostname']} is left out, nginx refuses it: {one['words']}"))
        if not answer["running"]:
            here.out.warn("nginx does not run: it begins with this when it is started")
    changes = "changes" if dry_run else "changed"
    done = changes if answer["changed"] else "stays as it is"
    here.out.done(f"nginx.conf {done}: {answer['sites']} sites", answer)
