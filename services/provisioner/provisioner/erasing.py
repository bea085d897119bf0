"""Forgetting a customer: the installs are deleted now, whatever time their data was to be kept; then what is kept about
them. That there was an install, and that each of its resources is gone, stays."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends

from keyturn import erasing
from keyturn.errors import Wait
from keyturn.internal import Customer
from keyturn.service import get_deps
from keyturn.work import Work
from provisioner.deps import ProvisionerDeps
from provisioner.engine.jobs import JOB
from provisioner.repository import erasing as stored
from provisioner.repository import installs

router = APIRouter()
Deps = Annotated[ProvisionerDeps, Depends(get_deps)]
FIRST_LOOK, LONGEST_LOOK = timedelta(seconds=2), timedelta(minutes=10)


@router.get("/purchases/{purchase_id}/data")
async def get_data(purchase_id: UUID, deps: Deps, _: Customer) -> dict[str, Any]:
    """Everything that is kept here about it."""
    async with deps.database.transaction("read_data") as tx:
        return await erasing.show(tx, stored.PERSONAL, purchase_id)


async def erase(work: Work, _: ProvisionerDeps, purchases: Sequence[UUID]) -> None:
    """Waits until nothing is left at any target: what could not be removed would still be theirs."""
    left = [purchase_id for purchase_id in purchases if not await _is_gone(work, purchase_id)]
    if left:
        now = work.database.clock.now()
        until = now + min(max(now - work.created, FIRST_LOOK), LONGEST_LOOK)
        raise Wait("deleting", f"{len(left)} installs are still to be deleted", until=until)
    for purchase_id in purchases:
        async with work.transaction("cleared") as tx:
            await stored.forget(tx, purchase_id)


async def _is_gone(work: Work, purchase_id: UUID) -> bool:
    async with work.transaction("removed") as tx:
        install = await installs.locked(tx, purchase_id)
        if install is None:
            return True
        if install.state == "deleted":
            return not await stored.anything_left(tx, purchase_id)
        if not install.removal_asked or install.delete_after:
            install.removal_asked, install.delete_after = True, None
            install.revision += 1
            tx.schedule(JOB, str(install.id), subject=str(install.id))
            await installs.note(tx, install.id, "customer_erased")
    return False
