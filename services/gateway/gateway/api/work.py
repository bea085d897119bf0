"""Operators: work over all services. An id is `service:id`; a service that is away is named, not waited for."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, model_validator

from gateway.api.asking import Cursor, Deps, Limit, Reason, page
from gateway.api.camel import camel
from gateway.deps import GatewayDeps
from gateway.operators import Operator, Viewer, because
from keyturn import operations
from keyturn.errors import Problem
from keyturn.internal import Caller

router = APIRouter(prefix="/api/work", tags=["operators"])
Service = Literal["gateway", "billing", "provisioner", "notifier"]
SERVICES: tuple[Service, ...] = ("gateway", "billing", "provisioner", "notifier")
Action = Literal["retry", "resolve", "discard"]
JSON = dict[str, Any]


class Choice(Reason):
    """Which work: these ids, or everything dead of one cause, or everything dead; of one service or of all."""

    ids: list[str] = Field(default_factory=list, max_length=500)
    cause: str | None = None
    all: bool = False
    service: Service | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum((bool(self.ids), self.cause is not None, self.all)) != 1:
            raise ValueError("choose by ids, by cause, or all")
        return self


@router.get("")
async def work(
    *,
    caller: Viewer,
    deps: Deps,
    state: operations.State | None = None,
    kind: str | None = None,
    cause: str | None = None,
    service: Service | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> JSON:
    """The newest of each service, the dead first where no state is asked for. Going on needs one service."""
    if cursor and not service:
        raise Problem(422, "service_required", "going on with a cursor needs the service it belongs to")
    states: Sequence[str] = [state] if state else ["dead", "open"]
    asked = {"kind": kind, "cause": cause, "cursor": cursor, "limit": limit}
    chosen: Sequence[Service] = [service] if service else SERVICES
    pages = [(name, _list(deps, name, caller, {"state": one, **asked})) for one in states for name in chosen]
    answers = await asyncio.gather(*(asking for _, asking in pages), return_exceptions=True)
    items, away, more = [], set(), None
    for (name, _), answer in zip(pages, answers, strict=True):
        if isinstance(answer, BaseException):
            away.add(_away(name, answer))
            continue
        items += [{"service": name, **item, "id": f"{name}:{item['id']}"} for item in answer["items"]]
        more = answer.get("nextCursor") if service and len(states) == 1 else None
    return {"items": items, "nextCursor": more, "unavailable": sorted(away)}


@router.get("/causes")
async def causes(caller: Viewer, deps: Deps) -> JSON:
    """What died, grouped by cause."""
    answers = await asyncio.gather(*(_causes(deps, name, caller) for name in SERVICES), return_exceptions=True)
    items, away = [], set()
    for name, answer in zip(SERVICES, answers, strict=True):
        if isinstance(answer, BaseException):
            away.add(_away(name, answer))
        else:
            items += [{"service": name, **group} for group in answer]
    return {"items": items, "nextCursor": None, "unavailable": sorted(away)}


@router.get("/{work_id}")
async def show(work_id: str, caller: Viewer, deps: Deps) -> JSON:
    name, row = _split(work_id)
    if name == "gateway":
        found = camel(await operations.show(deps.database, row))
    else:
        found = camel(await _client(deps, name).request("GET", f"/internal/work/{row}", caller))
    return {"service": name, **found, "id": work_id}


@router.post("/retry")
async def retry(choice: Choice, caller: Operator, deps: Deps) -> JSON:
    """Now, and with all its attempts again."""
    return await _act(deps, "retry", choice, because(caller, choice.reason))


@router.post("/resolve")
async def resolve(choice: Choice, caller: Operator, deps: Deps) -> JSON:
    """It was dealt with by hand."""
    return await _act(deps, "resolve", choice, because(caller, choice.reason))


@router.post("/discard")
async def discard(choice: Choice, caller: Operator, deps: Deps) -> JSON:
    """It will never be done."""
    return await _act(deps, "discard", choice, because(caller, choice.reason))


async def _act(deps: GatewayDeps, action: Action, choice: Choice, caller: Caller) -> JSON:
    """Each service commits its own part; one that is away is named in the answer, the others have acted."""
    parts = _parts(choice)
    asked = [_order(deps, name, action, part | {"reason": choice.reason}, caller) for name, part in parts.items()]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    counts = {name: one for name, one in zip(parts, answers, strict=True) if isinstance(one, int)}
    away = [_away(name, one) for name, one in zip(parts, answers, strict=True) if isinstance(one, BaseException)]
    if away and not counts:
        raise Problem(503, "services_unavailable", f"{', '.join(away)} cannot be reached now; nothing was changed")
    return {"count": sum(counts.values()), "byService": counts, "unavailable": away}


def _parts(choice: Choice) -> dict[Service, JSON]:
    if choice.ids:
        ids: defaultdict[Service, list[str]] = defaultdict(list)
        for work_id in choice.ids:
            name, row = _split(work_id)
            ids[name].append(str(row))
        return {name: {"ids": rows} for name, rows in ids.items()}
    which: JSON = {"all": True} if choice.all else {"cause": choice.cause}
    return dict.fromkeys([choice.service] if choice.service else SERVICES, which)


async def _order(deps: GatewayDeps, name: Service, action: Action, body: JSON, caller: Caller) -> int:
    if name == "gateway":
        chosen = operations.Selection("ids", [UUID(row) for row in body["ids"]]) if "ids" in body else None
        chosen = chosen or operations.Selection(*(("cause", body["cause"]) if "cause" in body else ("all",)))
        return await operations.act(deps.database, operations.Order(action, chosen, caller, body["reason"]))
    return int((await _client(deps, name).request("POST", f"/internal/work/{action}", caller, json=body))["count"])


async def _list(deps: GatewayDeps, name: Service, caller: Caller, asked: JSON) -> JSON:
    if name == "gateway":
        found = await operations.list_work(deps.database, **asked)
        return {"items": camel(found.rows), "nextCursor": found.cursor}
    return dict(page(await _client(deps, name).request("GET", "/internal/work", caller, params=asked)))


async def _causes(deps: GatewayDeps, name: Service, caller: Caller) -> list[JSON]:
    if name == "gateway":
        found = await operations.causes(deps.database)
    else:
        found = (await _client(deps, name).request("GET", "/internal/work/causes", caller))["items"]
    groups: list[JSON] = camel(found)
    return groups


def _client(deps: GatewayDeps, name: Service) -> Any:
    return {"billing": deps.billing, "provisioner": deps.provisioner, "notifier": deps.notifier}[name]


def _split(work_id: str) -> tuple[Service, UUID]:
    name, _, row = work_id.partition(":")
    for service in SERVICES:
        if name == service:
            try:
                return service, UUID(row)
            except ValueError:
                break
    raise Problem(404, "work_not_found", "a work's id is `service:id`, as the list shows it")


def _away(name: str, error: BaseException) -> str:
    """The name of a service that could not answer. Anything else that went wrong is raised."""
    if isinstance(error, Problem) and error.status >= 500:
        return name
    raise error
