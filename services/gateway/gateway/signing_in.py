"""Signing in by a mailed link. Whoever asks for one hears the same, in the same time, whether we know the address: who
it belongs to is looked up by work, which has the notifier send the link.

The token goes to the notifier in an internal call, as a chosen password goes to the provisioner: the gateway holds no
key for secrets in events, and an event would tell of strangers' addresses.
"""

import hashlib
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import StringConstraints

from gateway import sessions
from gateway.buckets import Limit
from gateway.checkout import VISITOR
from gateway.deps import GatewayDeps
from gateway.repository import limits
from gateway.repository import sessions as stored
from keyturn.database import Transaction
from keyturn.errors import Problem, Retry
from keyturn.events import uuid7
from keyturn.retry import RetryPolicy
from keyturn.work import Work, WorkKind

SIGN_IN = "sign_in"
LINK_LIFE = timedelta(minutes=15)
MAILS = Limit(burst=3, per_minute=0.2)  # to one address: nobody's mailbox is filled through us
Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=254, pattern=r"^[^\s@\x00-\x1f\x7f]+@[^\s@\x00-\x1f\x7f]+$"),
]
COUNTED = """UPDATE work SET payload = payload || '{"counted": true}' WHERE id = $1"""
FORGET = "UPDATE work SET payload = '{}' WHERE id = $1"


async def ask_for_link(deps: GatewayDeps, email: str) -> None:
    """Raises `Problem` 429 where too many were asked for, whoever it is."""
    mailbox = hashlib.sha256(email.lower().encode(errors="replace")).hexdigest()
    async with deps.database.transaction("rate_limit") as tx:
        wait = await limits.take_token(tx, f"sign_in_mail:{mailbox}", MAILS)
    if wait:
        raise Problem(429, "rate_limited", "too many links were asked for; wait a moment", retry_after=wait)
    async with deps.database.transaction("ask_to_sign_in") as tx:
        tx.schedule(SIGN_IN, str(uuid7()), {"email": email})


async def send_link(work: Work, deps: GatewayDeps) -> None:
    """Tried until whoever asked will have asked again. The address is not kept."""
    email, late = work.payload.get("email"), work.created + LINK_LIFE <= deps.clock.now()
    found = await _customer(deps, email) if email and not late else None
    if found:
        await _have_it_mailed(work, deps, found)
    async with work.transaction("told", finish=True) as tx:
        await tx.run(FORGET, work.id)


async def _have_it_mailed(work: Work, deps: GatewayDeps, found: dict[str, Any]) -> None:
    """The link works before its mail goes. After a crash there is another one, and both are the customer's."""
    token, expires = sessions.new_token(), deps.clock.now() + LINK_LIFE
    async with work.transaction("linked") as tx:
        if not work.payload.get("counted"):
            if await limits.take_token(tx, f"sign_in_mail:{found['customer_id']}", MAILS):
                return  # too many, by several spellings of one address
            await tx.run(COUNTED, work.id)
        await stored.add_link(tx, sessions.hashed(token), UUID(found["customer_id"]), expires)
    body = {"purchase_id": found["purchase_id"], "link_id": str(work.id), "token": token}
    await _asked(deps.notifier.request, "/internal/messages/sign-in", body | {"expires_at": expires.isoformat()})


async def _customer(deps: GatewayDeps, email: str) -> dict[str, Any] | None:
    try:
        return dict(await _asked(deps.billing.request, "/internal/customers/find", {"email": email}))
    except Problem as problem:
        if problem.code != "customer_unknown":
            raise
        return None


async def _asked(request: Any, path: str, body: dict[str, Any]) -> Any:
    try:
        return await request("POST", path, VISITOR, json=body)
    except Problem as problem:
        if problem.status >= 500:
            raise Retry(f"{path} is not answered") from None
        raise


async def enter(deps: GatewayDeps, token: str) -> str:
    """A session's token for a link's: once. Raises `Problem` 410 for one that is used, has run out or never was."""
    async with deps.database.transaction("sign_in") as tx:
        customer = await stored.use_link(tx, sessions.hashed(token))
        if customer is None:
            raise Problem(410, "sign_in_link_over", "this link was used or has run out; ask for a new one")
        return await sessions.begin(tx, customer)


async def forget(work: Work, _: BaseException, tx: Transaction) -> None:
    await tx.run(FORGET, work.id)


WORK = {SIGN_IN: WorkKind(send_link, retry=RetryPolicy(attempts=200, cap=timedelta(seconds=30)), died=forget)}
