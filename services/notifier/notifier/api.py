"""What the gateway may ask: which messages there are, what became of each, and to have one tried again."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from keyturn.acting import acted
from keyturn.errors import Problem
from keyturn.http import Words
from keyturn.internal import Operator, Viewer
from keyturn.service import get_deps
from notifier import erasing, repository, signing_in
from notifier.deps import NotifierDeps
from notifier.domain import FINAL_CODES, State, moved
from notifier.sending import MAIL

messages = APIRouter(prefix="/internal/messages", tags=["messages"])
Deps = Annotated[NotifierDeps, Depends(get_deps)]


class Shown(BaseModel):
    """A message as operators see it: never with its sealed fields."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    purchase_id: UUID | None
    subject: str
    template: str
    state: State
    recipient: str | None
    attempts: int
    code: str | None
    reason: str | None
    link_number: int | None
    expires_at: datetime | None
    created: datetime
    finished: datetime | None


class ShownAttempt(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    number: int
    started: datetime
    ended: datetime | None
    outcome: str | None
    code: str | None
    reply: str | None


class ShownWhole(Shown):
    history: list[ShownAttempt] = Field(default_factory=list)
    details: dict[str, Any] = Field(default_factory=dict)


class Page(BaseModel):
    items: list[Shown]
    next_cursor: UUID | None = None


class Reason(BaseModel):
    reason: Words


@messages.get("")
async def list_messages(
    deps: Deps,
    _: Viewer,
    purchase_id: UUID | None = None,
    state: State | None = None,
    cursor: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Page:
    async with deps.database.transaction("list_messages") as tx:
        found = await repository.messages(tx, purchase_id=purchase_id, state=state, before=cursor, limit=limit + 1)
    shown = [Shown.model_validate(message) for message in found[:limit]]
    return Page(items=shown, next_cursor=shown[-1].id if len(found) > limit else None)


@messages.get("/{message_id}")
async def show_message(deps: Deps, _: Viewer, message_id: UUID) -> ShownWhole:
    async with deps.database.transaction("show_message") as tx:
        message = await repository.message(tx, message_id)
        if message is None:
            raise _unknown()
        history = await repository.attempts(tx, message_id)
    whole = Shown.model_validate(message).model_dump() | {"details": message.details}
    return ShownWhole(**whole, history=[ShownAttempt.model_validate(one) for one in history])


@messages.post("/{message_id}/retry")
async def retry_message(deps: Deps, caller: Operator, message_id: UUID, body: Reason) -> Shown:
    """Pending: tried now. Failed: tried again from the start. Sent, expired or superseded: refused."""
    async with deps.database.transaction("retry_message") as tx:
        message = await repository.message(tx, message_id, lock=True)
        if message is None:
            raise _unknown()
        if message.state == "sent":
            raise Problem(409, "message_already_sent", "the mail server has taken this message")
        if message.code in FINAL_CODES:
            raise Problem(409, f"message_{message.code}", "its link is dead, or its customer was forgotten")
        before = {"state": message.state, "code": message.code}
        if moved(message.state, "pending"):
            repository.close(message, "pending", None)
        tx.schedule(MAIL, str(message.id), subject=message.subject)
        acted(
            tx,
            caller,
            "message.retry",
            str(message.id),
            subject=message.subject,
            reason=body.reason,
            before=before,
            after={"state": "pending"},
        )
    return Shown.model_validate(message)


def _unknown() -> Problem:
    return Problem(404, "message_unknown", "there is no such message")


router = APIRouter()
for _part in (messages, signing_in.router, erasing.router):
    router.include_router(_part)
