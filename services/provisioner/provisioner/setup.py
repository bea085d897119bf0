"""Setup links: how a customer takes the install over, once.

The token has 256 random bits and is stored as its SHA-256 hash; the password goes to the install and nowhere else.
A link is claimed in one transaction, the install is asked outside of any, and what came of it is written in another.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import ValidationError

from keyturn import failpoints
from keyturn.database import Transaction
from keyturn.errors import Problem
from keyturn.events import InstallActivated, SetupLinkIssued, uuid7
from keyturn.log import get_logger, hidden
from provisioner import rendering
from provisioner.blueprints import customer_named
from provisioner.domain import Install, LinkState, SetupLink
from provisioner.engine import values
from provisioner.engine.telling import Says
from provisioner.repository import installs, links, progress
from provisioner.resources.port import Applying, Given, Refused, SetupCall

if TYPE_CHECKING:
    from provisioner.deps import ProvisionerDeps

log = get_logger()
DEAD = {"used": "has been used", "expired": "has expired", "replaced": "was replaced by a newer one"}


def hashed(token: str) -> str:
    """What is stored, and looked for: the same work for every token, known or not."""
    return hashlib.sha256(token.encode()).hexdigest()


def first_link(
    deps: "ProvisionerDeps", install: Install, now: datetime, credentials: str | None
) -> tuple[SetupLink, SetupLinkIssued]:
    """The link of an install that has just become ready: there is none before."""
    link, token = _new_link(deps, install, now)
    if credentials:
        link.state = "used"  # with a password in the mail there is nothing to set up
    return link, _issued(deps, install, link, token, credentials)


def _new_link(deps: "ProvisionerDeps", install: Install, now: datetime) -> tuple[SetupLink, str]:
    token = secrets.token_urlsafe(32)
    link = SetupLink(
        id=uuid7(),
        install_id=install.id,
        number=1,
        token_hash=hashed(token),
        state="open",
        created_at=now,
        expires_at=now + deps.policy.link_lifetime,
    )
    return link, token


def _issued(
    deps: "ProvisionerDeps", install: Install, link: SetupLink, token: str, credentials: str | None = None
) -> SetupLinkIssued:
    """The event takes the token to the notifier, sealed."""
    wire, subject = SetupLinkIssued.wire, str(install.id)
    return SetupLinkIssued(
        subject=subject,
        time=link.created_at,
        link_id=str(link.id),
        token=deps.mail_keys.seal(token, place=(wire, subject, "token")),
        expires_at=link.expires_at,
        number=link.number,
        url=install.admin_url or install.url,
        credentials=deps.mail_keys.seal(credentials, place=(wire, subject, "credentials")) if credentials else None,
    )


async def reissue(
    tx: Transaction, deps: "ProvisionerDeps", install_id: UUID, *, pause: timedelta = timedelta()
) -> SetupLinkIssued:
    """A new link, the older ones dead. Raises `Problem` where the install waits for no setup, and 429 where its newest
    link is younger than `pause`."""
    install = await installs.locked(tx, install_id)
    if install is None:
        raise Problem(404, "install_unknown", "there is no such install")
    if install.activated_at or install.ready_at is None or install.level == "ended":
        raise Problem(409, "no_setup_needed", "this install waits for no setup")
    newest = await links.of_install(tx, install_id)
    if newest and (left := newest[0].created_at + pause - tx.now) > timedelta():
        detail = "a link was sent a moment ago; look into the mailbox, or ask again later"
        raise Problem(429, "setup_link_just_sent", detail, retry_after=ceil(left.total_seconds()))
    link, token = _new_link(deps, install, tx.now)
    link.number = await links.issue(tx, link)
    tx.publish(issued := _issued(deps, install, link, token))
    return issued


@dataclass(frozen=True)
class Seen:
    """What the bearer of a token may know."""

    state: LinkState
    install: Install
    detail: str | None

    def document(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "purchase_id": str(self.install.id),
            "url": self.install.url,
            "admin_url": self.install.admin_url,
            "store_name": self.install.parameters.get("store_name"),
            "email": self.install.contact.get("email"),
            "detail": self.detail,
        }


async def look_up(deps: "ProvisionerDeps", token: str) -> Seen:
    """Changes nothing (rule 13). Raises `Problem`."""
    async with deps.database.transaction("setup_looked_up") as tx:
        link = await links.by_hash(tx, hashed(token))
        if link is None:
            raise unknown()
        install = await installs.get(tx, link.install_id)
        assert install is not None
        return Seen(link.seen(tx.now), install, link.detail)


@dataclass(frozen=True)
class Claimed:
    """A link in one caller's hands. `secrets`: what the blueprint's calls need, for as long as they take."""

    link: SetupLink
    install: Install
    attempt: int
    calls: list[SetupCall[Any]]
    hidden: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Claimed({self.link.id})"


async def complete(deps: "ProvisionerDeps", token: str, password: str) -> dict[str, Any]:
    """Hand the password to the install. Raises `Problem`."""
    with hidden(password, token):
        claimed = await _claim(deps, token, password)
        try:
            with hidden(*claimed.hidden):
                operation = await _run(claimed.calls)
        except Refused as refusal:
            await _reopen(deps, claimed, str(refusal))
            raise Problem(422, "password_refused", str(refusal)) from None
        except BaseException as error:
            await _reopen(deps, claimed, "The install did not answer; please try again.")
            if not isinstance(error, Exception):
                raise
            log.warning("setup_failed", install=str(claimed.install.id), error=type(error).__name__)
            raise Problem(503, "instance_unreachable", "the install does not answer now; try again") from None
        return await _finish(deps, claimed, operation)


async def _run(calls: list[SetupCall[Any]]) -> Mapping[str, Any] | None:
    """The blueprint's calls in order; the last that needs minutes says what to ask about."""
    operation: Mapping[str, Any] | None = None
    for index, call in enumerate(calls):
        await failpoints.hit("provisioner.setup_call.before")
        applying = await call.run()
        await failpoints.hit("provisioner.setup_call.after")
        if isinstance(applying, Applying):
            operation = {"call": index, "operation": dict(applying.operation)}
    return operation


async def _claim(deps: "ProvisionerDeps", token: str, password: str) -> Claimed:
    async with deps.database.transaction("setup_claimed") as tx:
        link = await links.by_hash(tx, hashed(token), lock=True)
        if link is None:
            raise unknown()
        state = link.seen(tx.now)
        if state in DEAD:
            raise Problem(410, f"setup_link_{state}", f"this link {DEAD[state]}")
        if state == "completing":
            raise Problem(409, "setup_in_progress", "the password is being set at this moment")
        install = await installs.get(tx, link.install_id)
        if install is None or install.state not in {"setup_pending", "active"} or install.level != "on":
            raise Problem(409, "install_not_available", "the install is not available now")
        calls, used = await _calls(tx, deps, install, password)
        link.state, link.claimed_until = "completing", tx.now + deps.policy.claim
        link.attempt += 1
        link.operation = None
    return Claimed(link, install, link.attempt, calls, used)


async def _calls(
    tx: Transaction, deps: "ProvisionerDeps", install: Install, password: str
) -> tuple[list[SetupCall[Any]], tuple[str, ...]]:
    """The blueprint's setup calls, filled in. Nothing of it is stored."""
    blueprint = deps.blueprints.get(install.blueprint)
    if blueprint is None:
        raise Problem(503, "instance_unreachable", "the install cannot be set up now")
    find = values.lookup(install, await progress.records(tx, install.id), deps.settings)
    calls: list[SetupCall[Any]] = []
    used: set[str] = set()
    for index, setup in enumerate(blueprint.setup):
        rendered = rendering.render(dict(setup.parameters), find)
        opened = await values.read(tx, deps.keys, install.id, rendering.secrets_in(rendered))
        used |= set(opened.values())
        revealed = rendering.reveal(rendered, {**opened, "password": password})
        named = frozenset(customer_named(setup.parameters))
        calls.append(_call(deps, setup.kind, Unchecked(install.id, f"setup{index}", revealed, named)))
    return calls, tuple(used)


@dataclass(frozen=True)
class Unchecked:
    """A call before its kind has looked at the parameters."""

    install: UUID
    name: str
    parameters: Mapping[str, Any] = field(repr=False)
    named: frozenset[str]


def _call(deps: "ProvisionerDeps", kind: str, call: Unchecked) -> SetupCall[Any]:
    try:
        model = deps.kinds.setup[kind].Parameters.model_validate(call.parameters)
    except ValidationError:
        log.warning("setup_parameters_wrong", install=str(call.install), kind=kind)
        raise Problem(503, "instance_unreachable", "the install cannot be set up now") from None
    return deps.kinds.call(kind, Given(call.install, call.name, model, call.named))


async def _reopen(deps: "ProvisionerDeps", claimed: Claimed, detail: str) -> None:
    async with deps.database.transaction("setup_reopened") as tx:
        link = await _still_ours(tx, claimed)
        if link:
            link.state, link.claimed_until, link.detail = "open", None, detail


async def _finish(deps: "ProvisionerDeps", claimed: Claimed, operation: Mapping[str, Any] | None) -> dict[str, Any]:
    async with deps.database.transaction("setup_completed") as tx:
        install = await installs.locked(tx, claimed.install.id)
        link = await _still_ours(tx, claimed)
        if link is None or install is None:
            raise Problem(409, "setup_in_progress", "somebody else is setting the password at this moment")
        if operation:
            link.operation = dict(operation)
            tx.schedule("setup_applying", str(link.id), subject=str(install.id))
        else:
            settle(tx, link, install)
    return {"state": link.state, "url": install.url, "admin_url": install.admin_url}


def settle(tx: Transaction, link: SetupLink, install: Install) -> None:
    """The password is set: the link is used, and the install is its customer's."""
    link.move_to("used")
    link.used_at, link.claimed_until, link.detail, link.operation = tx.now, None, None, None
    activate(tx, install)


def activate(says: Says, install: Install) -> None:
    """The customer is in. Once, whatever is tried how often."""
    now = says.now
    if install.activated_at is None:
        install.activated_at = now
        if install.state == "setup_pending":
            install.move_to("active", now)
        says.publish(InstallActivated(subject=str(install.id), time=now, url=install.url, admin_url=install.admin_url))


async def _still_ours(tx: Transaction, claimed: Claimed) -> SetupLink | None:
    """Nobody has claimed it after us, and it was not replaced."""
    link = await links.locked(tx, claimed.link.id)
    ours = link is not None and link.state == "completing" and link.attempt == claimed.attempt
    return link if ours else None


def unknown() -> Problem:
    return Problem(404, "setup_link_unknown", "there is no such link")


async def call_of(tx: Transaction, deps: "ProvisionerDeps", install: Install, index: int) -> SetupCall[Any]:
    """One of the calls, to ask about what it began; the password is not known any more, nor needed."""
    calls, _ = await _calls(tx, deps, install, password="unknown")  # noqa: S106 - stands where the real one stood
    return calls[index]
