"""Opening a purchase: the gateway names it, asks for its names, and lets billing make the checkout."""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from gateway.api.shapes import CheckoutRequest
from gateway.deps import GatewayDeps
from gateway.repository import journeys, limits
from gateway.settings import origin
from keyturn.errors import Problem
from keyturn.events import uuid7
from keyturn.internal import Caller
from keyturn.log import get_logger

VISITOR = Caller(actor="visitor", role="public")
LONGEST_KEY = 255
PATIENCE = 5  # seconds for each question without whose answer we sell too
CHECKOUT_IDS = ("order_id", "subscription_id", "session_id")  # by one of them a customer may name the purchase
# Read in one way here and in another by browsers, which drop blanks and take `\\` for `/`; and a name before an @.
AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\]|^[^/]*//[^/?#]*@")
HOLD_NAMES = timedelta(minutes=15)  # until billing has said how long the checkout stays open

log = get_logger()


@dataclass(frozen=True)
class Opened:
    """A purchase that can be paid now. `answer` is billing's."""

    purchase_id: UUID
    opened: datetime
    answer: dict[str, Any]


async def open_purchase(deps: GatewayDeps, order: CheckoutRequest, key: str | None) -> Opened:
    """Repeated with the same key and order, also at the same moment, it answers alike: the key stands for the
    purchase id, and billing opens a purchase once. Raises `Problem` where the order cannot be taken: then the key and
    the names are as free as before."""
    asked = _for_billing(deps, order)  # refused before anything is kept
    purchase_id, opened, first = await _named(deps, order, key)
    try:
        if first:  # repeated, it may have been opened before, and have room
            await _check_room(deps, order)
        return Opened(purchase_id, opened, await _ask_billing(deps, order, purchase_id, asked))
    except Problem as problem:
        if first and _is_refusal(problem):  # repeated, what is refused now may have been opened before, and be paid
            await _give_back(deps, order, purchase_id, key)
        raise


async def _ask_billing(
    deps: GatewayDeps, order: CheckoutRequest, purchase_id: UUID, asked: dict[str, Any]
) -> dict[str, Any]:
    names = order.names()
    if names:
        await _reserve(deps, purchase_id, names, deps.clock.now() + HOLD_NAMES)
    urls = _urls(deps, order, purchase_id)
    answer: dict[str, Any] = await deps.billing.request(
        "POST", "/internal/checkouts", VISITOR, json={"purchase_id": str(purchase_id), **asked, **urls}
    )
    if names and answer.get("expires_at"):
        await _keep_reserved(deps, purchase_id, names, answer["expires_at"])
    async with deps.database.transaction("note_order") as tx:
        await journeys.add_refs(tx, purchase_id, [ref for name in CHECKOUT_IDS if (ref := answer.get(name))])
    return answer


async def _check_room(deps: GatewayDeps, order: CheckoutRequest) -> None:
    """Raises `Problem` where there is no room for what is ordered. Whoever is away cannot be asked: then we sell, and
    an install that finds no room waits for it."""
    try:
        wanted = await deps.billing.request(
            "POST", "/internal/checkouts/terms", VISITOR, json=order.chosen(), within=PATIENCE
        )
        found = await deps.provisioner.request("POST", "/internal/room", VISITOR, json=wanted, within=PATIENCE)
    except Problem as problem:
        if problem.status < 500:
            raise
        log.warning("room_not_asked", code=problem.code)
        return
    if not found["room"]:
        raise Problem(409, "no_capacity", "there is no room for another one at the moment; try again later")


def _is_refusal(problem: Problem) -> bool:
    """Whether nothing can come of the order any more. What failed otherwise may go on with the same key; and an order
    that was opened with other return addresses goes on by itself."""
    if problem.code == "purchase_id_reused":
        return False
    return problem.status < 500 or problem.code == "provider_refused"


async def _give_back(deps: GatewayDeps, order: CheckoutRequest, purchase_id: UUID, key: str | None) -> None:
    """The names first: whoever has the key again asks for the same ones. Where the provisioner is away they lapse."""
    if order.names():
        try:
            await deps.provisioner.request("POST", "/internal/names/release", VISITOR, json={"owner": str(purchase_id)})
        except Problem as problem:
            log.warning("names_not_released", purchase_id=str(purchase_id), code=problem.code)
    if key is not None:
        async with deps.database.transaction("release_checkout_key") as tx:
            await limits.release_key(tx, _digest(key), purchase_id)


async def _named(deps: GatewayDeps, order: CheckoutRequest, key: str | None) -> tuple[UUID, datetime, bool]:
    """The purchase's id, since when, and whether it is new with this request."""
    fresh = uuid7()
    if key is None:
        return fresh, deps.clock.now(), True
    if not 0 < len(key) <= LONGEST_KEY:
        raise Problem(400, "idempotency_key_invalid", f"an Idempotency-Key has 1 to {LONGEST_KEY} characters")
    request = _digest(json.dumps(order.model_dump(mode="json"), sort_keys=True))
    async with deps.database.transaction("claim_checkout_key") as tx:
        claim = await limits.claim_key(tx, _digest(key), request, fresh)
    if claim.request != request:
        raise Problem(422, "idempotency_key_reused", "this Idempotency-Key was used with another request")
    return claim.purchase_id, claim.created, claim.purchase_id == fresh


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


async def _reserve(deps: GatewayDeps, purchase_id: UUID, names: dict[str, str], until: datetime) -> None:
    """A taken or forbidden name is the customer's to change. A provisioner that is away is not: we sell, and a conflict
    found later waits for the customer."""
    body = {"owner": str(purchase_id), "names": names, "until": until.isoformat()}
    try:
        await deps.provisioner.request("POST", "/internal/names/reserve", VISITOR, json=body, within=PATIENCE)
    except Problem as problem:
        if problem.status < 500:
            raise
        log.warning("names_not_reserved", purchase_id=str(purchase_id), code=problem.code)


async def _keep_reserved(deps: GatewayDeps, purchase_id: UUID, names: dict[str, str], until: str) -> None:
    try:
        await _reserve(deps, purchase_id, names, datetime.fromisoformat(until))
    except Problem as problem:
        log.warning("names_not_kept", purchase_id=str(purchase_id), code=problem.code)


def _for_billing(deps: GatewayDeps, order: CheckoutRequest) -> dict[str, Any]:
    for url in filter(None, (order.success_url, order.cancel_url)):
        check_return_url(deps, url)
    said = {"locale", "timezone", "coupon_code", "parameters", "company", "country", "tax_id"}
    chosen = order.chosen() | order.model_dump(mode="json", include=said, exclude_none=True)
    bought = {"email": order.email, "name": order.name, "store_name": order.store_name}
    return chosen | {name: value for name, value in (bought | order.names()).items() if value}


def _urls(deps: GatewayDeps, order: CheckoutRequest, purchase_id: UUID) -> dict[str, str]:
    """Stripe puts its session id where the braces are, so those must stay as they are."""
    public = deps.settings.public_url.rstrip("/")
    back = f"{public}/checkout/return?purchase={purchase_id}&session_id={{CHECKOUT_SESSION_ID}}"
    if order.success_url:
        back += f"&{urlencode({'to': order.success_url})}"
    return {"success_url": back, "cancel_url": order.cancel_url or status_url(deps, purchase_id)}


def status_url(deps: GatewayDeps, purchase_id: UUID) -> str:
    return f"{deps.settings.public_url.rstrip('/')}/purchases/{purchase_id}"


def check_return_url(deps: GatewayDeps, url: str) -> None:
    """Raises `Problem` where customers must not be sent there."""
    try:
        allowed = not AMBIGUOUS.search(url) and origin(url) in deps.settings.origins
    except ValueError:
        allowed = False
    if not allowed:
        raise Problem(422, "return_url_not_allowed", "the return URL's origin is not one of the allowed origins")


async def confirm(deps: GatewayDeps, purchase_id: UUID, proof: dict[str, Any]) -> str | None:
    """What billing says after asking the provider once. None where it cannot say now, or the proof proves nothing."""
    try:
        answer = await deps.billing.request("POST", f"/internal/purchases/{purchase_id}/return", VISITOR, json=proof)
    except Problem as problem:
        log.info("return_not_confirmed", purchase_id=str(purchase_id), code=problem.code)
        return None
    return str(answer["status"])
