"""The operator's view of work over HTTP: mounted by every service at `/internal/work`, asked by the gateway alone."""

from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, model_validator

from keyturn.database import Database
from keyturn.http import Named, Words
from keyturn.internal import Operator, Viewer
from keyturn.operations import BATCH, Action, Order, Selection, State, act, causes, list_work, show


class Asked(BaseModel):
    """Exactly one of `ids`, `cause`, `all`."""

    ids: list[UUID] | None = Field(default=None, min_length=1, max_length=BATCH)
    cause: str | None = Field(default=None, min_length=1, pattern=r"^[^\x00]+$")
    all: bool = False
    reason: Words

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum((self.ids is not None, self.cause is not None, self.all)) != 1:
            raise ValueError("give exactly one of ids, cause, all")
        return self

    @property
    def selection(self) -> Selection:
        if self.ids is not None:
            return Selection("ids", self.ids)
        return Selection("cause", self.cause) if self.cause is not None else Selection("all")


def work_router(database: Database) -> APIRouter:
    """Mounted by every service. Reading needs a viewer, acting an operator."""
    router = APIRouter(prefix="/internal/work", tags=["work"])

    @router.get("")
    async def list_(
        _: Viewer,
        state: State = "dead",
        kind: Named = None,
        cause: Named = None,
        cursor: Named = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> dict[str, Any]:
        page = await list_work(database, state, kind=kind, cause=cause, cursor=cursor, limit=limit)
        return {"items": page.rows, "cursor": page.cursor}

    @router.get("/causes")
    async def causes_(_: Viewer) -> dict[str, Any]:
        return {"items": await causes(database)}

    @router.get("/{id_}")
    async def show_(_: Viewer, id_: UUID) -> dict[str, Any]:
        return await show(database, id_)

    @router.post("/{action}")
    async def act_(who: Operator, action: Action, asked: Asked) -> dict[str, int]:
        return {"count": await act(database, Order(action, asked.selection, who, asked.reason))}

    return router
