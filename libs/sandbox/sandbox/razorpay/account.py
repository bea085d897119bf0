"""One Razorpay account: orders, payments, refunds, disputes, and the events about them."""

import json
import secrets
import string
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

from keyturn.clock import Clock
from sandbox.delivery import Webhooks
from sandbox.razorpay.errors import missing

_LETTERS = string.ascii_letters + string.digits
ACCOUNT_ID = "acc_Sandbox0000000"

# What has been seen in official or real payloads, and is sent on demand.
Quirk = Literal["captured_as_text", "created_at_in_payload", "bare_envelope", "empty_errors", "captured_too_early"]


@dataclass
class Kept:
    """The first call with an idempotency key. `answer` is None while it runs."""

    body: dict[str, Any]
    answer: dict[str, Any] | None = None


class RazorpayAccount:
    """`objects` is what the API shows; `hidden` is what an order's call brought and no answer shows."""

    def __init__(self, *, clock: Clock, webhooks: Webhooks) -> None:
        self.clock = clock
        self.objects: dict[str, dict[str, Any]] = {}
        self.hidden: dict[str, dict[str, Any]] = {}
        self.kept: dict[str, Kept] = {}  # by refund and idempotency key
        self.quirks: set[Quirk] = set()
        self._webhooks = webhooks

    def now(self) -> int:
        return int(self.clock.now().timestamp())

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_" + "".join(secrets.choice(_LETTERS) for _ in range(14))

    def add(self, prefix: str, entity: str, **fields: Any) -> dict[str, Any]:
        made = {"id": self.new_id(prefix), "entity": entity} | fields | {"created_at": self.now()}
        self.objects[made["id"]] = made
        return made

    def get(self, id_: str, entity: str) -> dict[str, Any]:
        """The object, which stays shared: a change to it is a change of the account."""
        found = self.objects.get(id_)
        if found is None or found["entity"] != entity:
            raise missing()
        return found

    def all(self, entity: str) -> list[dict[str, Any]]:
        """Newest first, as every list of the API."""
        return [one for one in reversed(self.objects.values()) if one["entity"] == entity]

    def payments_of(self, order_id: str) -> list[dict[str, Any]]:
        return [one for one in self.all("payment") if one["order_id"] == order_id]

    def emit(self, event: str, **about: dict[str, Any]) -> None:
        """`about`: entities by name. The event has an id in a header only, never in the body."""
        body: dict[str, Any] = {
            "entity": "event",
            "account_id": ACCOUNT_ID,
            "event": event,
            "contains": list(about),
            "payload": {name: {"entity": deepcopy(entity)} for name, entity in about.items()},
            "created_at": self.now(),
        }
        self._disfigure(body)
        self._webhooks.send(self.new_id("evt"), event, json.dumps(body, separators=(",", ":")).encode())

    def _disfigure(self, body: dict[str, Any]) -> None:
        payment = body["payload"].get("payment", {}).get("entity", {})
        if "captured_as_text" in self.quirks and payment.get("captured"):
            payment["captured"] = "1"
        if "captured_too_early" in self.quirks and body["event"] == "payment.authorized":
            payment |= {"captured": True, "status": "captured"}
        if "empty_errors" in self.quirks:
            payment |= {name: "" for name in payment if name.startswith("error_") and payment[name] is None}
        if "created_at_in_payload" in self.quirks:
            body["payload"]["created_at"] = body.pop("created_at")
        if "bare_envelope" in self.quirks:
            del body["account_id"], body["contains"]
