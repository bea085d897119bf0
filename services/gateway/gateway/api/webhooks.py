"""Operators: what the providers sent, as it was stored, and reading again what could not be read."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query

from gateway.api.asking import Deps, Limit, Reason
from gateway.operators import Operator, Viewer, because
from gateway.repository import webhooks
from gateway.repository.webhooks import WebhookRow
from gateway.reprocess import reading_of, reprocess, reprocess_all
from gateway.webhooks.payload import parse
from keyturn.errors import Problem

router = APIRouter(tags=["operators"])

Status = Annotated[Literal["read", "ignored", "unreadable"] | None, Query()]

# What a payload says about a person or opens something; operators look such things up at the provider.
HIDDEN = ("secret", "email", "name", "phone", "contact", "address", "vpa", "card", "token", "url", "ip", "pdf")
MASK = "***"


@router.get("/api/webhooks")
async def list_webhooks(
    _: Viewer,
    deps: Deps,
    status: Status = None,
    provider: Literal["stripe", "razorpay"] | None = None,
    cursor: UUID | None = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """Newest first."""
    async with deps.database.transaction("list_webhooks") as tx:
        found = await webhooks.page(tx, state=status, provider=provider, before=cursor, limit=limit)
    more = str(found[-1].id) if len(found) == limit else None
    return {"items": [shown(row) for row in found], "nextCursor": more}


@router.get("/api/webhooks/{webhook_id}")
async def show_webhook(webhook_id: UUID, _: Operator, deps: Deps) -> dict[str, Any]:
    """With the payload, without what is secret or personal in it, and what it says to us."""
    async with deps.database.transaction("show_webhook") as tx:
        row = await webhooks.find(tx, webhook_id)
    if row is None:
        raise _unknown()
    events = [{"id": str(fact.id), "type": fact.wire, "subject": fact.subject} for fact in reading_of(row).facts]
    return shown(row) | {"headers": row.headers, "events": events, "payload": masked(parse(row.body))}


@router.post("/api/webhooks/reprocess")
async def reprocess_unreadable(why: Reason, caller: Operator, deps: Deps) -> dict[str, int]:
    return await reprocess_all(deps, because(caller, why.reason))


@router.post("/api/webhooks/{webhook_id}/reprocess")
async def reprocess_webhook(webhook_id: UUID, why: Reason, caller: Operator, deps: Deps) -> dict[str, Any]:
    row = await reprocess(deps, webhook_id, because(caller, why.reason))
    if row is None:
        raise _unknown()
    return shown(row)


def shown(row: WebhookRow) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "provider": row.provider,
        "eventId": row.event_id,
        "type": row.type,
        "status": row.state,
        "cause": row.cause,
        "livemode": row.livemode,
        "apiVersion": row.api_version,
        "receivedAt": row.received.isoformat(),
        "reprocessedAt": row.reprocessed.isoformat() if row.reprocessed else None,
    }


def masked(value: Any) -> Any:
    """The payload with its keys, and without the values that HIDDEN names."""
    if isinstance(value, dict):
        return {masked(key): MASK if _is_hidden(key, part) else masked(part) for key, part in value.items()}
    if isinstance(value, list):
        return [masked(part) for part in value]
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def _is_hidden(key: str, value: Any) -> bool:
    return value is not None and any(word in HIDDEN for word in key.lower().split("_"))


def _unknown() -> Problem:
    return Problem(404, "webhook_not_found", "there is no such webhook")
