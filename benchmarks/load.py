"""A closed-loop HTTP load generator: each connection sends its next request when the last was answered.

It speaks just enough HTTP/1.1 to be cheap (raw asyncio protocols, requests built beforehand), so that on two cores the
server under test is the limit and not the generator.
"""

import asyncio
import hashlib
import hmac
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import uvloop


@dataclass(frozen=True)
class Result:
    """Requests a second, milliseconds at the 50th and 99th percentile, and the requests whose answer was no 2xx."""

    rate: float
    p50: float
    p99: float
    refused: Sequence[bytes]

    @property
    def errors(self) -> int:
        return len(self.refused)


class _Connection(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], done: asyncio.Future[None], times: list[float]) -> None:
        self.requests, self.done, self.times = requests, done, times
        self.buffer = b""
        self.request: bytes | None = None
        self.refused: list[bytes] = []
        self.transport: Any = None
        self.sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._next()

    def _next(self) -> None:
        self.request = next(self.requests, None)
        if self.request is None:
            self.transport.close()
            if not self.done.done():
                self.done.set_result(None)
            return
        self.sent = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        if not _complete(self.buffer, end):
            return
        self.times.append(time.perf_counter() - self.sent)
        if self.buffer[9:10] != b"2":
            self.refused.append(self.request or b"")
        self.buffer = b""
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionResetError("the server closed the connection"))


def _complete(answer: bytes, end: int) -> bool:
    """Whether the body is whole: by its length, or by the last chunk."""
    head = answer[:end].lower()
    if b"transfer-encoding: chunked" in head:
        return answer.endswith(b"0\r\n\r\n")
    at = head.find(b"content-length:")
    length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    return len(answer) >= end + 4 + length


async def run(port: int, requests: Sequence[bytes], connections: int) -> Result:
    """Send every request once over so many connections, and say how it went."""
    loop = asyncio.get_running_loop()
    source, times = iter(requests), []
    waiting: list[asyncio.Future[None]] = [loop.create_future() for _ in range(connections)]
    begun = time.perf_counter()
    made = [
        await loop.create_connection(lambda done=done: _Connection(source, done, times), "127.0.0.1", port)
        for done in waiting
    ]
    await asyncio.gather(*waiting)
    took = time.perf_counter() - begun
    cuts = statistics.quantiles(times, n=100) if len(times) > 1 else [times[0]] * 99
    refused = [request for _, protocol in made for request in protocol.refused]
    return Result(len(times) / took, cuts[49] * 1e3, cuts[98] * 1e3, refused)


def drive(port: int, requests: Sequence[bytes], connections: int) -> Result:
    """`run`, for who has no loop."""
    return uvloop.run(run(port, requests, connections))


def request(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """One POST as bytes."""
    lines = [
        f"POST {path} HTTP/1.1",
        "host: 127.0.0.1",
        "content-type: application/json",
        f"content-length: {len(body)}",
    ]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def stripe_event(number: int, run: str, reference: str | None = None) -> bytes:
    """A paid Checkout Session, about 3.5 kB, unique by number and run, for an order that is not ours."""
    session = {
        "id": f"cs_test_{run}{number:08d}",
        "object": "checkout.session",
        "amount_total": 1900,
        "client_reference_id": reference,
        "currency": "eur",
        "customer_details": {"email": "somebody@example.com", "name": "Somebody", "address": {"country": "DE"}},
        "livemode": False,
        "metadata": {f"key_{n}": "value " * 12 for n in range(34)},
        "mode": "payment",
        "payment_intent": f"pi_{run}{number:08d}",
        "payment_status": "paid",
        "status": "complete",
    }
    event = {
        "id": f"evt_{run}{number:08d}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": int(time.time()),
        "data": {"object": session},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": "checkout.session.completed",
    }
    return json.dumps(event, indent=2).encode()


def signed(path: str, body: bytes, secret: str) -> bytes:
    """A webhook request as Stripe signs it."""
    now = str(int(time.time()))
    signature = hmac.new(secret.encode(), now.encode() + b"." + body, hashlib.sha256).hexdigest()
    return request(path, body, {"stripe-signature": f"t={now},v1={signature}"})


def stripe_requests(path: str, secret: str, count: int, run: str) -> list[bytes]:
    """Ready to send."""
    return [signed(path, stripe_event(number, run), secret) for number in range(count)]
