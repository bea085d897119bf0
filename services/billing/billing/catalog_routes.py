"""The catalogue over HTTP: what another one would change, and applying it. The gateway says which blueprints exist."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from billing import views
from billing.applying import apply_catalog, difference
from billing.catalog import Catalog, parse_catalog
from billing.deps import BillingDeps
from billing.errors import CatalogError, catalog_faulty
from keyturn.http import Words
from keyturn.internal import Admin
from keyturn.service import get_deps

router = APIRouter(prefix="/catalog")
Deps = Annotated[BillingDeps, Depends(get_deps)]
JSON = dict[str, Any]


class Proposal(BaseModel):
    """A catalogue as it stands in its file, and for each blueprint the limits that it reads."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    content: Annotated[str, StringConstraints(max_length=2**20)]  # how large a catalogue may be, its parser says
    file: Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]
    blueprints: dict[str, list[str]] = Field(max_length=1000)


class Order(Proposal):
    reason: Words


@router.post("/diff")
async def post_diff(body: Proposal, deps: Deps, _: Admin) -> JSON:
    return views.difference(await difference(deps, await _read(body)))


@router.post("")
async def post_catalog(body: Order, deps: Deps, caller: Admin) -> JSON:
    return views.difference(await apply_catalog(deps, caller, await _read(body), body.reason))


async def _read(body: Proposal) -> Catalog:
    """In a thread, since a large one takes seconds. Raises the `catalog_faulty` problem."""
    try:
        return await asyncio.to_thread(parse_catalog, body.content, body.file, body.blueprints)
    except CatalogError as error:
        raise catalog_faulty(error) from None
