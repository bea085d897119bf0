"""The operator API asks the services and says their answer in camelCase; nothing is decided here."""

from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import BaseModel

from gateway.api.camel import camel
from gateway.deps import GatewayDeps
from keyturn.http import Words
from keyturn.internal import Caller, InternalClient
from keyturn.service import get_deps

Deps = Annotated[GatewayDeps, Depends(get_deps)]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=200)]


class Reason(BaseModel):
    """Every change says why."""

    reason: Words


async def ask(client: InternalClient, path: str, caller: Caller, **params: str | int | None) -> Any:
    return page(await client.request("GET", path, caller, params=params))


def page(answer: Any) -> Any:
    """A service's answer; the place where a list goes on has one name in the public API."""
    said = camel(answer)
    if isinstance(said, dict) and "items" in said and "cursor" in said:
        said["nextCursor"] = said.pop("cursor")
    return said


async def tell(client: InternalClient, path: str, caller: Caller, body: dict[str, Any]) -> Any:
    return camel(await client.request("POST", path, caller, json=body)) or {"success": True}
