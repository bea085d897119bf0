"""What operators ask about certificates: which there are, how they stand, and one anew."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from keyturn.acting import acted
from keyturn.errors import Problem
from keyturn.http import Words
from keyturn.internal import Operator, Viewer
from keyturn.service import get_deps
from provisioner.certificates.records import Certificate
from provisioner.certificates.using import CERTIFICATE
from provisioner.deps import ProvisionerDeps
from provisioner.repository import certificates

router = APIRouter()
Deps = Annotated[ProvisionerDeps, Depends(get_deps)]
SHOWN = 20  # installs of one certificate


class Reason(BaseModel):
    reason: Words


@router.get("/certificates")
async def list_certificates(
    deps: Deps, _: Viewer, cursor: UUID | None = None, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> dict[str, Any]:
    """In the order in which they were first wished for. No key, and no chain."""
    async with deps.database.transaction("certificates_listed") as tx:
        found = await certificates.page(tx, cursor or certificates.START, limit + 1)
        users = await certificates.used_by_each(tx, [one.id for one in found], SHOWN)
        items = [_shown(one, users[one.id]) for one in found[:limit]]
    return {"items": items, "cursor": str(found[limit - 1].id) if len(found) > limit else None}


@router.post("/certificates/{certificate_id}/renew")
async def renew(certificate_id: UUID, asked: Reason, deps: Deps, by: Operator) -> dict[str, Any]:
    """Order it anew, now; also where it waits, or is parked."""
    async with deps.database.transaction("certificate_renewed") as tx:
        found = await certificates.locked(tx, certificate_id)
        if found is None:
            raise Problem(404, "certificate_unknown", "there is no such certificate")
        if found.challenge == "given":
            raise Problem(409, "certificate_given", "this certificate is a file of yours: replace the file")
        users = await certificates.used_by(tx, found.id, SHOWN)
        before = _shown(found, users)
        if found.chain:
            found.renew_at = tx.now
        found.cleared()
        tx.schedule(CERTIFICATE, str(found.id))
        subject = str(users[0]) if len(users) == 1 else None
        acted(
            tx,
            by,
            "certificate.renew",
            f"certificate {found.id}",
            subject=subject,
            reason=asked.reason,
            before={name: before[name] for name in ("serial", "expires_at", "trouble")},
        )
        return _shown(found, users)


def _shown(one: Certificate, installs: list[UUID]) -> dict[str, Any]:
    moments = {name: getattr(one, name) for name in ("created_at", "issued_at", "expires_at", "renew_at", "retry_at")}
    return {
        "id": str(one.id),
        "names": one.names,
        "challenge": one.challenge,
        "status": _status(one),
        "serial": one.serial,
        **{name: at.isoformat() if at else None for name, at in moments.items()},
        "failures": one.failures,
        "trouble": one.trouble,
        "message": one.message,
        "installs": [str(install) for install in installs],
    }


def _status(one: Certificate) -> str:
    if one.order_url:
        return "ordering"
    if one.serial is None:
        return "waiting"
    return "renewal_failed" if one.trouble else "issued"
