"""What the gateway asks of the provisioner: names, setup links, blueprints, and installs for operators."""

from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel, Field, SecretStr

from keyturn.acting import acted
from keyturn.errors import Problem
from keyturn.http import Named, Words
from keyturn.internal import Admin, Caller, Customer, Operator, Public, Viewer
from keyturn.service import get_deps
from provisioner import erasing, names, operators, regenerating, room, servers, setup
from provisioner.certificates import api as certificates
from provisioner.deps import ProvisionerDeps
from provisioner.domain import InstallState
from provisioner.errors import NameConflictError
from provisioner.repository import installs, views

router = APIRouter(prefix="/internal")
router.include_router(erasing.router)
router.include_router(certificates.router)
router.include_router(servers.router)
router.include_router(regenerating.router)
Deps = Annotated[ProvisionerDeps, Depends(get_deps)]
Limit = Annotated[int, Query(ge=1, le=200)]


class NameAsked(BaseModel):
    kind: names.Kind = "subdomain"
    name: str = Field(max_length=300, pattern=r"^[^\x00]*$")


class NamesReserved(BaseModel):
    owner: UUID
    names: dict[names.Kind, str | None]
    until: AwareDatetime


class NamesReleased(BaseModel):
    owner: UUID


class RoomAsked(BaseModel):
    blueprint: str = Field(max_length=100)
    limits: dict[str, Any]


class Token(BaseModel):
    token: str = Field(min_length=1, max_length=200, repr=False)


class Password(Token):
    password: SecretStr = Field(min_length=1, max_length=1000)


class Reason(BaseModel):
    reason: Words
    own_reason: operators.OwnReason = "operator"


class Deletion(Reason):
    """`now`: the data is not kept for the retention time."""

    now: bool = False


@router.post("/names/check")
async def check_name(asked: NameAsked, deps: Deps, _: Public) -> dict[str, str | None]:
    async with deps.database.transaction("name_checked") as tx:
        status, suggestion, detail = await names.check(tx, asked.kind, asked.name, deps.settings.base_domain)
    return {"name": names.normal(asked.name), "status": status, "suggestion": suggestion, "detail": detail}


@router.post("/names/reserve")
async def reserve_names(asked: NamesReserved, deps: Deps, _: Public) -> dict[str, Any]:
    """All of them or none."""
    wanted = [(kind, names.normal(name)) for kind, name in sorted(asked.names.items()) if name]
    for kind, name in wanted:
        if wrong := names.objection(kind, name, deps.settings.base_domain):
            raise Problem(422, "name_not_allowed", wrong, field=kind)
    try:
        async with deps.database.transaction("names_reserved") as tx:
            for kind, name in wanted:
                await names.reserve(tx, kind, name, asked.owner, asked.until)
    except NameConflictError as conflict:
        raise Problem(409, "name_taken", str(conflict), field=conflict.kind) from None
    return {"owner": str(asked.owner), "names": dict(wanted), "until": asked.until.isoformat()}


@router.post("/names/release")
async def release_names(asked: NamesReleased, deps: Deps, _: Public) -> dict[str, Any]:
    """Those that are only reserved."""
    async with deps.database.transaction("names_released") as tx:
        await names.release(tx, asked.owner)
    return {"owner": str(asked.owner)}


@router.post("/room")
async def ask_for_room(asked: RoomAsked, deps: Deps, _: Public) -> dict[str, bool]:
    """For one more install: nothing is held."""
    return {"room": await room.for_one_more(deps, asked.blueprint, asked.limits)}


@router.post("/setup/lookup")
async def look_up(asked: Token, deps: Deps, _: Public) -> dict[str, Any]:
    return (await setup.look_up(deps, asked.token)).document()


@router.post("/setup/complete")
async def complete(asked: Password, deps: Deps, _: Public) -> dict[str, Any]:
    return await setup.complete(deps, asked.token, asked.password.get_secret_value())


@router.post("/installs/{install_id}/reissue")
async def reissue(install_id: UUID, deps: Deps, by: Customer) -> dict[str, Any]:
    async with deps.database.transaction("setup_reissued") as tx:
        pause = timedelta() if by.may("operator") else deps.policy.link_pause
        issued = await setup.reissue(tx, deps, install_id, pause=pause)
        await installs.note(tx, install_id, "setup_link_reissued", actor=by.actor, reason=by.reason)
        if by.may("operator"):
            acted(tx, by, "install.reissue", f"install {install_id}", subject=str(install_id))
    return {"link_id": issued.link_id, "number": issued.number, "expires_at": issued.expires_at.isoformat()}


@router.get("/blueprints")
async def list_blueprints(deps: Deps, _: Viewer) -> dict[str, Any]:
    """What can be made, and the limits of a plan that each reads."""
    found = deps.blueprints.values()
    return {
        "items": [{"name": one.name, "description": one.description, "limits": sorted(one.limits)} for one in found]
    }


@router.get("/installs")
async def list_installs(
    deps: Deps, _: Viewer, status: InstallState | None = None, cursor: Named = None, limit: Limit = 50
) -> dict[str, Any]:
    try:
        async with deps.database.transaction("installs_listed") as tx:
            items, following = await views.page(tx, status, cursor, limit)
    except ValueError:
        raise Problem(422, "invalid_cursor", "this cursor is not one of ours") from None
    return {"items": items, "cursor": following}


@router.get("/installs/{install_id}")
async def show_install(install_id: UUID, deps: Deps, _: Viewer) -> dict[str, Any]:
    async with deps.database.transaction("install_shown") as tx:
        found = await views.details(tx, install_id)
    if found is None:
        raise Problem(404, "install_unknown", "there is no such install")
    return found


@router.post("/installs/{install_id}/delete")
async def delete_install(install_id: UUID, asked: Deletion, deps: Deps, by: Admin) -> dict[str, Any]:
    keep = None if asked.now else timedelta(days=deps.settings.retention_days)
    return await _act(deps, install_id, operators.Order("delete", asked.reason, keep=keep), by)


@router.post("/installs/{install_id}/{act}")
async def act_on_install(
    install_id: UUID, act: Literal["retry", "suspend", "resume"], asked: Reason, deps: Deps, by: Operator
) -> dict[str, Any]:
    return await _act(deps, install_id, operators.Order(act, asked.reason, asked.own_reason), by)


async def _act(deps: ProvisionerDeps, install_id: UUID, order: operators.Order, by: Caller) -> dict[str, Any]:
    async with deps.database.transaction(f"operator_{order.act}") as tx:
        install = await operators.obey(tx, install_id, order, by)
        return views.summary(install)


@router.get("/orphans")
async def list_orphans(deps: Deps, _: Viewer, limit: Limit = 100) -> dict[str, Any]:
    async with deps.database.transaction("orphans_listed") as tx:
        return {"items": await views.orphans(tx, limit)}
