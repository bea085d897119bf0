"""Scheduled runs on billing's own."""

from typing import Any

from support.billing import World


async def minute(billing: World) -> None:
    """What is looked at every minute: which runs are due. And their work."""
    async with billing.database.transaction("test") as tx:
        tx.schedule("scheduled_runs", "every", due=tx.now)
    await billing.work()
    async with billing.database.transaction("test") as tx:  # the test decides when it runs again
        tx.cancel("scheduled_runs", "every")


async def starts(billing: World, name: str, *, dry_run: bool = False) -> str:
    """By hand; its id."""
    said = {"name": name, "dry_run": dry_run, "reason": "to see"}
    begun = await billing.ask("POST", "/internal/runs", "operator", json=said)
    assert begun.status_code == 202, begun.text
    return str(begun.json()["id"])


async def begins(billing: World, name: str, *, dry_run: bool = False) -> dict[str, Any]:
    """The same, done; its report."""
    run_id = await starts(billing, name, dry_run=dry_run)
    await billing.work()
    told = await report(billing, run_id)
    assert told["status"] == "done", told
    return told


async def report(billing: World, run_id: str, **params: Any) -> dict[str, Any]:
    return dict((await billing.ask("GET", f"/internal/runs/{run_id}", "viewer", params=params)).json())


async def runs(billing: World) -> list[dict[str, Any]]:
    return list((await billing.ask("GET", "/internal/runs", "viewer", params={"limit": 200})).json()["items"])
