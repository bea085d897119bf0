"""Operators: the configuration of the nginx in front of the installs. The provisioner answers."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from gateway.api.asking import Deps, Reason, tell
from gateway.operators import Operator, because

router = APIRouter(tags=["operators"])


class Regeneration(Reason):
    """`dryRun`: tells what would change, and changes nothing."""

    dry_run: bool = Field(default=False, alias="dryRun")


@router.post("/api/nginx/regenerate")
async def regenerate(wanted: Regeneration, caller: Operator, deps: Deps) -> Any:
    return await tell(
        deps.provisioner, "/internal/nginx/regenerate", because(caller, wanted.reason), wanted.model_dump()
    )
