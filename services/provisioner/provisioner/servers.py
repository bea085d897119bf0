"""Servers: the hosts that hold what is made at a target, with room for so much of it. Operators say which there are."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import AfterValidator, BaseModel, Field

from keyturn.acting import acted
from keyturn.database import Database
from keyturn.errors import Problem
from keyturn.http import Named, Words
from keyturn.internal import Admin, Viewer
from keyturn.service import get_deps
from provisioner.deps import ProvisionerDeps
from provisioner.repository import servers
from provisioner.resources.port import NeedsOperator, Server, Servers

router = APIRouter(prefix="/servers")
Deps = Annotated[ProvisionerDeps, Depends(get_deps)]
Name = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,63}$")]
_SHOWN = ("target", "address", "publish_on", "memory", "millicpus", "slots", "labels", "enabled")


@dataclass(frozen=True)
class KnownServers(Servers):
    """Those in our table, as drivers ask for them."""

    database: Database

    async def find(self, target: str, name: str) -> Server:
        found = await self.database.run("server_found", servers.FIND, target, name)
        if not found:
            raise NeedsOperator(f"there is no server {name!r} of {target}")
        return Server(**found[0])


def _not_public(address: str) -> str:
    """What is published there would be open to the world, past the proxy and most firewalls."""
    found = ipaddress.ip_address(address)
    if found.version != 4 or found.is_unspecified or not (found.is_loopback or found.is_private):
        raise ValueError("is a loopback or private IPv4 address")
    return str(found)


class Said(BaseModel):
    """`memory` in bytes, `millicpus` in thousandths of a processor; `slots`: so many places. A server that is not
    `enabled` keeps what it has and gets nothing new. What is not said of one that is there stays as it was."""

    target: Literal["docker"] = "docker"
    address: str | None = Field(default=None, pattern=r"^unix:///[A-Za-z0-9._/-]{1,100}$")
    publish_on: Annotated[str, AfterValidator(_not_public)] = "127.0.0.1"
    memory: int | None = Field(default=None, ge=1024**2, le=2**60)
    millicpus: int | None = Field(default=None, ge=1, le=10**7)
    slots: int | None = Field(default=None, ge=1, le=100_000)
    labels: dict[Label, Label] = Field(default_factory=dict, max_length=20)
    enabled: bool = True
    reason: Words


class Why(BaseModel):
    reason: Words


@router.get("")
async def list_servers(
    deps: Deps, _: Viewer, cursor: Named = None, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> dict[str, Any]:
    async with deps.database.transaction("servers_listed") as tx:
        found = await servers.page(tx, cursor or "", limit + 1)
    items = [_document(row) for row in found[:limit]]
    return {"items": items, "cursor": items[-1]["name"] if len(found) > limit else None}


@router.post("/{name}")
async def set_server(name: Name, said: Said, deps: Deps, by: Admin) -> dict[str, Any]:
    """A new one, or another word about one that is there."""
    async with deps.database.transaction("server_set") as tx:
        before = await servers.locked(tx, name)
        wanted = {**said.model_dump(), **(before or {}), **said.model_dump(exclude_unset=True)}
        if lacking := [one for one in _SHOWN if wanted[one] is None]:
            raise Problem(422, "server_incomplete", f"a new server needs its {lacking[0]}", field=lacking[0])
        after = await servers.save(tx, name, wanted)
        if after is None:
            raise Problem(409, "server_of_another_target", "a server of another target has this name")
        was, now = _only(before or {}), _only(after)
        acted(tx, by, "server.set", f"server {name}", reason=said.reason, before=was, after=now)
    return _document(after)


@router.post("/{name}/remove")
async def remove_server(name: Name, why: Why, deps: Deps, by: Admin) -> dict[str, Any]:
    async with deps.database.transaction("server_removed") as tx:
        before = await servers.locked(tx, name)
        if before is None:
            raise Problem(404, "server_unknown", "there is no such server")
        if not await servers.remove(tx, name):
            raise Problem(409, "server_in_use", f"{before['used_slots']} installs have their place there")
        acted(tx, by, "server.remove", f"server {name}", reason=why.reason, before=_only(before))
    return _document(before)


def _document(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "created_at": row["created_at"].isoformat()}


def _only(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in _SHOWN if name in row}
