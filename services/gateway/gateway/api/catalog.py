"""Operators: the catalogue. The provisioner says which blueprints there are, billing compares and applies."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, StringConstraints

from gateway.api.asking import Deps, Reason, tell
from gateway.deps import GatewayDeps
from gateway.operators import Admin, because
from keyturn.internal import Caller

router = APIRouter(prefix="/api/catalog", tags=["operators"])
# One that billing takes has up to 256 Ki characters, of which JSON may make some more bytes.
LARGEST = 512 * 1024


class Proposal(BaseModel):
    """A catalogue as it stands in its file. `file`: its name, for what is wrong with it."""

    content: Annotated[str, StringConstraints(max_length=LARGEST)]
    file: Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")] = "catalog.yaml"


class Order(Proposal, Reason):
    """The same, to be sold from now on."""


@router.post("/diff")
async def diff(proposal: Proposal, caller: Admin, deps: Deps) -> Any:
    """What it would change. Changes nothing."""
    return await tell(deps.billing, "/internal/catalog/diff", caller, await _whole(deps, caller, proposal))


@router.post("")
async def apply(order: Order, caller: Admin, deps: Deps) -> Any:
    """Sells by it from now on. What no blueprint can make is refused, so the provisioner has to answer."""
    body = await _whole(deps, caller, order)
    return await tell(deps.billing, "/internal/catalog", because(caller, order.reason), body)


async def _whole(deps: GatewayDeps, caller: Caller, proposal: Proposal) -> dict[str, Any]:
    known = await deps.provisioner.request("GET", "/internal/blueprints", caller)
    return proposal.model_dump() | {"blueprints": {one["name"]: one["limits"] for one in known["items"]}}
