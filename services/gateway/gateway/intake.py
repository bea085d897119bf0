"""The webhook endpoints: verify the raw bytes, store, answer. Everything else happens later and elsewhere.

They stand in front of the application as plain ASGI: providers send bursts, and a request costs a quarter of what it
costs behind the routes. A 2xx means that the raw webhook is on disk, and what it says with it; whatever is wrong with
a request leaves no state at all.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from typing import Literal

from prometheus_client import Counter, Gauge
from pydantic_core import to_json
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.buckets import Buckets
from gateway.repository.webhooks import Stored, Webhook
from gateway.webhooks import SOURCES, Arrival, Reading, Source, alarm, read
from gateway.webhooks.requests import JSON_TYPE, ClientGone, check_head, document_of, read_body
from gateway.webhooks.signatures import SignatureError
from keyturn.clock import Clock
from keyturn.errors import Problem, Unavailable
from keyturn.events import Provider, uuid7
from keyturn.http import answer
from keyturn.log import get_logger
from keyturn.outbox import event_row

SERVICE = "gateway"

WEBHOOKS = Counter("keyturn_webhooks", "Webhooks by what became of them", ["provider", "outcome"])
LAST = Gauge("keyturn_webhook_last_seconds", "When the last good webhook came: silence is a fault too", ["provider"])

PATHS: dict[str, Provider] = {
    "/api/webhooks/stripe": "stripe",
    "/api/webhooks/stripe/": "stripe",
    "/api/webhook/stripe": "stripe",
    "/api/webhook/stripe/": "stripe",
    "/api/webhooks/razorpay": "razorpay",
    "/api/webhooks/razorpay/": "razorpay",
}

_count = cache(WEBHOOKS.labels)
_last = cache(LAST.labels)
for _provider in set(PATHS.values()):
    _count(_provider, "unreadable")  # from the start: the first one is then an increase, too

log = get_logger()

Headers = dict[bytes, bytes]

_RECEIVED = b'{"received":true}'
_ALLOW = {"allow": "POST"}
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", JSON_TYPE), (b"content-length", str(len(_RECEIVED)).encode())],
}
_BODY = {"type": "http.response.body", "body": _RECEIVED}


@dataclass(frozen=True)
class Intake:
    """What turns one request into a stored webhook. Raises `Problem` for what is wrong with the request."""

    secrets: Mapping[Provider, Sequence[bytes]]
    store: Callable[[Webhook], Awaitable[Stored]]
    clock: Clock
    forgeries: Buckets
    address: Callable[[Scope], str]
    seconds: Callable[[], float] = time.time  # signatures live by real time

    async def take(self, provider: Provider, scope: Scope, receive: Receive) -> Stored | Literal["unreadable"]:
        source, headers = SOURCES[provider], dict(scope["headers"])
        secrets = self.secrets[provider]
        check_head(scope["method"], headers, secrets)
        body = await read_body(receive, whole=scope.get("whole", False))
        try:
            source.verify(body, headers.get(source.signature_header), secrets, self.seconds())
        except SignatureError as error:
            raise self._forgery(error, scope) from None
        webhook, reading = self.understand(source, body, headers)
        stored = await self.store(webhook)
        if reading.cause and stored == "stored":
            log.error("webhook_unreadable", provider=provider, webhook_id=str(webhook.id), cause=reading.cause)
            return "unreadable"
        return stored

    def understand(self, source: Source, body: bytes, headers: Headers) -> tuple[Webhook, Reading]:
        now, digest = self.clock.now(), sha256(body)
        kept = {name.decode(): headers[name].decode("latin-1")[:200] for name in source.kept_headers if name in headers}
        reading = read(source, Arrival(document_of(source, body), kept, now, f"sha256:{digest.hexdigest()}"))
        return webhook_of(reading, body, kept, digest.digest(), now), reading

    def _forgery(self, error: SignatureError, scope: Scope) -> Problem:
        """Looked at only after a signature was wrong: who sends forgeries from an address stops no good webhook."""
        if after := self.forgeries.take(self.address(scope)):
            return Problem(429, "rate_limited", "too many requests with bad signatures", retry_after=after)
        return Problem(400, error.code, str(error))


def webhook_of(reading: Reading, body: bytes, headers: Mapping[str, str], digest: bytes, now: datetime) -> Webhook:
    """The row, and the outbox rows that commit with it."""
    notice, new_id = reading.notice, uuid7()
    said = reading.facts or ((alarm(reading, str(new_id)),) if reading.cause else ())
    rows = tuple(event_row(fact, SERVICE, now) for fact in said)
    return Webhook(
        id=new_id,
        provider=notice.provider,
        event_id=notice.id,
        type=notice.type,
        livemode=notice.livemode,
        api_version=notice.api_version,
        headers=to_json(headers).decode(),
        body=body,
        digest=digest,
        received=now,
        state=reading.state,
        cause=reading.cause,
        outbox=rows,
    )


class WebhookEndpoints:
    """The middleware that answers the webhook paths and lets everything else through."""

    def __init__(self, app: ASGIApp, intake: Intake) -> None:
        self._app = app
        self._intake = intake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        provider = PATHS.get(scope["path"]) if scope["type"] == "http" else None
        if provider is None:
            await self._app(scope, receive, send)
            return
        try:
            outcome: str = await self._intake.take(provider, scope, receive)
        except ClientGone:
            return
        except Problem as problem:
            outcome = problem.code
            log.info("webhook_refused", provider=provider, status=problem.status, code=problem.code)
            await answer(problem, _ALLOW if problem.status == 405 else None)(scope, receive, send)
        except Unavailable:
            outcome = "unavailable"
            await answer(Problem(503, outcome, "not stored; send it again", retry_after=5))(scope, receive, send)
        except Exception:
            outcome = "failed"
            log.exception("webhook_failed", provider=provider)
            await answer(Problem(500, "internal_error", "not stored; send it again"))(scope, receive, send)
        else:
            _last(provider).set_to_current_time()
            await send(_START)
            await send(_BODY)
        _count(provider, outcome).inc()
