"""`keyturn servers`: the hosts on which installs are made."""

import re
from typing import Annotated, Any

import typer

from keyturn_cli.errors import UsageFailed
from keyturn_cli.session import Cursor, Limit, Reason, Yes, act, confirm, session

app = typer.Typer(no_args_is_help=True, help="The hosts on which installs are made.")
COLUMNS = (
    "name", "target", "enabled", "slots", "usedSlots", "memory", "usedMemory", "millicpus", "usedMillicpus", "labels",
)  # fmt: skip
UNITS = {"M": 1024**2, "G": 1024**3, "T": 1024**4}
Name = Annotated[str, typer.Argument(metavar="NAME")]
Address = Annotated[str | None, typer.Option(help="Of its engine: unix:///var/run/docker.sock.")]
PublishOn = Annotated[str | None, typer.Option(help="The host's address on which containers are reached.")]
Memory = Annotated[str | None, typer.Option(help="How much installs may have together: 64G.")]
Cpus = Annotated[float | None, typer.Option(min=0.001, help="How many processors they may have together.")]
Slots = Annotated[int | None, typer.Option(min=1, help="How many installs.")]
Labels = Annotated[list[str] | None, typer.Option("--label", help="region=eu: what blueprints may ask for.")]
Enabled = Annotated[bool | None, typer.Option("--enable/--disable", help="Whether it gets new installs.")]


@app.command("list")
def show_all(ctx: typer.Context, *, limit: Limit = 50, cursor: Cursor = None) -> None:
    """List servers, with how much of each is taken."""
    here = session(ctx)
    here.out.rows(here.client.get("/api/servers", limit=limit, cursor=cursor), COLUMNS)


@app.command("set")
def save(
    ctx: typer.Context,
    *,
    name: Name,
    reason: Reason,
    address: Address = None,
    publish_on: PublishOn = None,
    memory: Memory = None,
    cpus: Cpus = None,
    slots: Slots = None,
    label: Labels = None,
    enabled: Enabled = None,
) -> None:
    """Make a server known, or change one: what is not named stays as it is. What it holds stays there."""
    said: dict[str, Any] = {
        "address": address,
        "publishOn": publish_on,
        "memory": _bytes(memory) if memory else None,
        "millicpus": round(cpus * 1000) if cpus else None,
        "slots": slots,
        "labels": _labels(label) if label else None,
        "enabled": enabled,
    }
    given = {key: value for key, value in said.items() if value is not None}
    act(ctx, f"/api/servers/{name}", f"{name}: set", {"reason": reason} | given)


@app.command()
def remove(ctx: typer.Context, *, name: Name, reason: Reason, yes: Yes = False) -> None:
    """Forget a server on which nothing is left."""
    confirm(f"Forget the server {name}?", yes=yes)
    act(ctx, f"/api/servers/{name}/remove", f"{name}: removed", {"reason": reason})


def _bytes(said: str) -> int:
    found = re.fullmatch(r"([0-9]{1,9})([MGT])", said.upper())
    if not found:
        raise UsageFailed("an amount of memory looks like 512M or 64G")
    return int(found[1]) * UNITS[found[2]]


def _labels(given: list[str]) -> dict[str, str]:
    if wrong := next((one for one in given if one.count("=") != 1), None):
        raise UsageFailed(f"a label is name=value, not {wrong}")
    return dict(one.split("=") for one in given)
