"""Operators: the hosts on which installs are made. The provisioner answers, and says what is wrong with a new one."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import ConfigDict, Field

from gateway.api.asking import Cursor, Deps, Limit, Reason, ask, tell
from gateway.api.camel import camel_name
from gateway.operators import Admin, Viewer, because

router = APIRouter(tags=["operators"])
Name = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]


class Wanted(Reason):
    """`memory` in bytes, `millicpus` in thousandths of a processor, `slots` in installs. `publishOn`: the host's
    address on which what is made there is reached. What is left out of one that is there stays as it was."""

    model_config = ConfigDict(alias_generator=camel_name, extra="forbid")

    target: str = "docker"
    address: str | None = None
    publish_on: str = "127.0.0.1"
    memory: int | None = None
    millicpus: int | None = None
    slots: int | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    enabled: bool = True


@router.get("/api/servers")
async def servers(caller: Viewer, deps: Deps, cursor: Cursor = None, limit: Limit = 50) -> Any:
    """With how much of each is taken."""
    return await ask(deps.provisioner, "/internal/servers", caller, cursor=cursor, limit=limit)


@router.post("/api/servers/{name}")
async def save(name: Name, wanted: Wanted, caller: Admin, deps: Deps) -> Any:
    """A new one, or other words about one that is there. What it holds stays where it is."""
    body = wanted.model_dump(exclude_unset=True)
    return await tell(deps.provisioner, f"/internal/servers/{name}", because(caller, wanted.reason), body)


@router.post("/api/servers/{name}/remove")
async def remove(name: Name, why: Reason, caller: Admin, deps: Deps) -> Any:
    """One on which nothing has its place any more."""
    path = f"/internal/servers/{name}/remove"
    return await tell(deps.provisioner, path, because(caller, why.reason), {"reason": why.reason})
