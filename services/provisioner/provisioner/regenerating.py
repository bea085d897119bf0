"""nginx's configuration written anew from the database: by operators, who may be shown before what would change, and
once in a while, so that it has the first one, a renewed wildcard certificate, and nothing that was changed by hand."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from keyturn.acting import acted
from keyturn.errors import Problem
from keyturn.http import Words
from keyturn.internal import Operator
from keyturn.log import get_logger
from keyturn.service import get_deps
from keyturn.work import Work
from provisioner.deps import ProvisionerDeps
from provisioner.resources.nginx_server import Nginx
from provisioner.resources.port import DriverError

router = APIRouter()
log = get_logger()
Deps = Annotated[ProvisionerDeps, Depends(get_deps)]


class Regeneration(BaseModel):
    reason: Words
    dry_run: bool = False


@router.post("/nginx/regenerate")
async def regenerate(asked: Regeneration, deps: Deps, by: Operator) -> dict[str, Any]:
    """Byte for byte the same where nothing was changed by hand; nginx then goes on undisturbed."""
    nginx: Nginx | None = deps.kinds.tools["nginx"]
    if nginx is None:
        raise Problem(409, "nginx_not_ours", "NGINX_DIR is not set: there is no nginx to write for")
    try:
        applied = await nginx.regenerate(dry=asked.dry_run)
    except DriverError as error:
        raise Problem(503, "nginx_refuses", str(error)) from None
    told = {"sites": applied.sites, "changed": applied.changed, "running": applied.running}
    if not asked.dry_run:
        async with deps.database.transaction("nginx_regenerated") as tx:
            acted(tx, by, "nginx.regenerate", "nginx", reason=asked.reason, after=told)
    refused = [{"hostname": name, "words": words} for name, words in applied.refused.items()]
    return {**told, "version": applied.version, "refused": refused, "diff": list(applied.diff)}


async def mind(_: Work, deps: ProvisionerDeps) -> None:
    nginx: Nginx | None = deps.kinds.tools["nginx"]
    if nginx:
        try:
            await nginx.apply()
        except DriverError as error:
            log.error("nginx_not_as_it_should_be", reason=str(error))  # noqa: TRY400 - its words say it all
