"""The mail with a link to sign in. The gateway makes the link and hands its token over; here it is sealed at once."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from keyturn.internal import Public
from keyturn.service import get_deps
from notifier import repository
from notifier.deps import NotifierDeps
from notifier.sending import MAIL

router = APIRouter(prefix="/internal/messages", tags=["messages"])
Deps = Annotated[NotifierDeps, Depends(get_deps)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_-]+$")]


class Link(BaseModel):
    """`purchase_id`: one of the customer's, whose contact we know."""

    purchase_id: UUID
    link_id: UUID
    token: Token = Field(repr=False)
    expires_at: AwareDatetime


@router.post("/sign-in", status_code=202)
async def send_link(link: Link, deps: Deps, _: Public) -> dict[str, str]:
    """Asked again it is one mail."""
    subject = str(link.purchase_id)
    sealed = deps.mail_keys.seal(link.token, place=("sign_in", subject, "token"))
    async with deps.database.transaction("mail_sign_in_link") as tx:
        message_id = await repository.add_message(
            tx,
            "sign_in",
            str(link.link_id),
            subject=subject,
            purchase_id=link.purchase_id,
            details={},
            token=sealed.ciphertext,
            expires_at=link.expires_at,
        )
        if message_id:
            tx.schedule(MAIL, str(message_id), subject=subject)
    return {"link_id": str(link.link_id)}
