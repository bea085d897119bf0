"""One Stripe account: its objects by id, what it keeps to itself, and its events."""

import json
import secrets
import string
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

from keyturn.clock import Clock
from sandbox.delivery import Webhooks
from sandbox.stripe.errors import missing

API_VERSION = "2026-10-28.endive"
GivingUp = Literal["canceled", "unpaid", "past_due"]
_LETTERS = string.ascii_letters + string.digits
_TEST_IN_ID = {"cs"}  # the ids of these say whether they are of test mode


@dataclass
class Kept:
    """The first call with an idempotency key. `body` is None while it runs."""

    fingerprint: str
    at: float
    request_id: str
    status: int = 0
    body: str | None = None


def _as_it_is(thing: dict[str, Any]) -> dict[str, Any]:
    return thing


class StripeAccount:
    """`objects` is what the API shows. `hidden` holds what a call brought and no answer shows, by object id."""

    def __init__(self, *, clock: Clock, livemode: bool, webhooks: Webhooks) -> None:
        self.clock = clock
        self.livemode = livemode
        self.objects: dict[str, dict[str, Any]] = {}
        self.hidden: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.kept: dict[str, Kept] = {}  # by idempotency key
        self.request: dict[str, str | None] = {"id": None, "idempotency_key": None}  # of the call being executed
        self.gives_up: GivingUp = "canceled"  # what a subscription becomes after its last attempt
        self.endpoint_version = API_VERSION  # in which the events are told, whatever version a call asks for
        self.shown: Callable[[dict[str, Any]], dict[str, Any]] = _as_it_is  # an object in that version
        self._webhooks = webhooks

    def now(self) -> int:
        return int(self.clock.now().timestamp())

    def new_id(self, prefix: str) -> str:
        mode = ("live_" if self.livemode else "test_") if prefix in _TEST_IN_ID else ""
        return f"{prefix}_{mode}" + "".join(secrets.choice(_LETTERS) for _ in range(24))

    def add(self, made: dict[str, Any]) -> dict[str, Any]:
        self.objects[made["id"]] = made
        return made

    def get(self, id_: str, kind: str, param: str = "id") -> dict[str, Any]:
        """The object, which stays shared: a change to it is a change of the account."""
        found = self.objects.get(id_)
        if found is None or found["object"] != kind:
            raise missing(kind, id_, param)
        return found

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Newest first, as every list of the API."""
        return [one for one in reversed(self.objects.values()) if one["object"] == kind]

    def emit(self, type_: str, about: dict[str, Any], *, previous: dict[str, Any] | None = None, **over: Any) -> str:
        """An event with a snapshot of the object, stored and sent. `over` replaces fields of the envelope."""
        data = {"object": deepcopy(self.shown(about))} | (
            {"previous_attributes": previous} if previous is not None else {}
        )
        event: dict[str, Any] = {
            "id": self.new_id("evt"),
            "object": "event",
            "api_version": self.endpoint_version,
            "created": self.now(),
            "data": data,
            "livemode": self.livemode,
            "pending_webhooks": len(self._webhooks.endpoints),
            "request": dict(self.request),
            "type": type_,
        } | over
        self.events.append(event)
        self._webhooks.send(event["id"], type_, json.dumps(event, indent=2).encode())  # Stripe sends it indented
        return str(event["id"])
