"""The answer with everything that is kept about a customer."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from fastapi.responses import StreamingResponse

from gateway.deps import GatewayDeps
from gateway.exporting import export
from keyturn.internal import Caller

RESPONSES: dict[int | str, dict[str, Any]] = {200: {"description": "One document", "content": {"application/json": {}}}}


async def document(deps: GatewayDeps, caller: Caller, customer_id: UUID) -> StreamingResponse:
    """A refusal comes before the answer begins; one that fails later is cut off, so that nobody takes it for all."""
    parts = export(deps, caller, customer_id)
    first = await anext(parts)

    async def whole() -> AsyncIterator[str]:
        yield first
        async for part in parts:
            yield part

    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="customer-{customer_id}.json"',
    }
    return StreamingResponse(whole(), media_type="application/json", headers=headers)
