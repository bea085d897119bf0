"""Forgetting a customer: whom to write to, and what was written. That there was a mail, and its end, stays."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fastapi import APIRouter

from keyturn import erasing
from keyturn.internal import Customer
from keyturn.work import Work
from notifier import repository
from notifier.deps import NotifierDeps
from notifier.signing_in import Deps

router = APIRouter(prefix="/internal/purchases")

# Left out is what opens an install.
PERSONAL: erasing.Tables = {
    "contacts": ("purchase_id = $1", ()),
    "messages": ("purchase_id = $1", ("token", "credentials")),
    "attempts": ("message_id IN (SELECT id FROM messages WHERE purchase_id = $1)", ()),
    "erasures": ("purchase_id = $1", ()),
}


@router.get("/{purchase_id}/data")
async def get_data(purchase_id: UUID, deps: Deps, _: Customer) -> dict[str, Any]:
    """Everything that is kept here about it."""
    async with deps.database.transaction("read_data") as tx:
        return await erasing.show(tx, PERSONAL, purchase_id)


async def erase(work: Work, _: NotifierDeps, purchases: Sequence[UUID]) -> None:
    for purchase_id in purchases:
        async with work.transaction("cleared") as tx:
            await repository.forget(tx, purchase_id)
