"""Everything that is kept about one customer, as one JSON document: each service says what it holds about them, and
about each purchase, and no proof or secret. Written as it is read, so that it needs no more memory for a long history.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from gateway.deps import GatewayDeps
from gateway.repository.erasing import OF_CUSTOMER, PERSONAL
from keyturn import erasing
from keyturn.internal import Caller, InternalClient

PAGE = 50  # purchases


async def export(deps: GatewayDeps, caller: Caller, customer_id: UUID) -> AsyncIterator[str]:
    """Raises the `Problem` of a service that is away; before the first part, if it is away from the beginning."""
    path, cursor, comma = f"/internal/customers/{customer_id}", None, ""
    own = {"gateway": await _own(deps, OF_CUSTOMER, customer_id)}
    own["billing"] = await deps.billing.request("GET", f"{path}/data", caller)
    while True:
        page = await deps.billing.request("GET", f"{path}/purchases", caller, params={"cursor": cursor, "limit": PAGE})
        known = {"customer": page["customer"], "at": deps.clock.now().isoformat(), **own}
        head = _text(known)[:-1] + ', "purchases": ['
        for one in page["items"]:
            told = _text(await _purchase(deps, caller, UUID(one["id"])))
            yield f"{'' if comma else head}{comma}\n{told}"
            comma = ","
        cursor = page["cursor"]
        if not cursor:
            break
    yield "\n]}\n" if comma else f"{head}]}}\n"


async def _purchase(deps: GatewayDeps, caller: Caller, purchase_id: UUID) -> dict[str, Any]:
    others = {"billing": deps.billing, "provisioner": deps.provisioner, "notifier": deps.notifier}
    told = await asyncio.gather(*(_data(client, caller, purchase_id) for client in others.values()))
    own = await _own(deps, PERSONAL, purchase_id)
    return {"id": str(purchase_id), "gateway": own, **dict(zip(others, told, strict=True))}


async def _own(deps: GatewayDeps, tables: erasing.Tables, of: UUID) -> Any:
    async with deps.database.transaction("read_data") as tx:
        return await erasing.show(tx, tables, of)


async def _data(client: InternalClient, caller: Caller, purchase_id: UUID) -> Any:
    return await client.request("GET", f"/internal/purchases/{purchase_id}/data", caller)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
