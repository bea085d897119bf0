"""Faults on demand: what a provider's API does on a bad day, for the next n calls of a kind."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send

FaultKind = Literal[
    "error",  # 500 in the provider's shape; nothing was done
    "error_after",  # it was done, the answer is a 500
    "rate_limit",  # 429; nothing was done
    "garbage",  # 502 with a page instead of JSON; nothing was done
    "garbage_after",  # it was done, the answer is a page
    "hang",  # no answer until the caller gives up; nothing was done
    "hang_after",  # it was done, and no answer comes
    "drop",  # it was done, the connection ends in the middle of the answer
    "slow",  # it is done after `seconds`
]


@dataclass
class Fault:
    """`match` is the beginning of "METHOD /path"; empty: every call of the API."""

    kind: FaultKind
    match: str = ""
    times: int = 1
    seconds: float = 1.0


class Faults:
    """Those that wait to happen, oldest first."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []

    def add(self, kind: FaultKind, match: str = "", *, times: int = 1, seconds: float = 1.0) -> None:
        self.waiting.append(Fault(kind, match, times, seconds))

    def clear(self) -> None:
        self.waiting.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that this call meets, if any; used up by it."""
        for fault in self.waiting:
            if f"{method} {path}".startswith(fault.match):
                fault.times -= 1
                if fault.times <= 0:
                    self.waiting.remove(fault)
                return fault
        return None


class CutOff(Response):
    """Half an answer: promises more bytes than it sends, so that the server closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        headers = [(b"content-type", b"application/json"), (b"content-length", b"4096")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"id": "', "more_body": True})


async def hang(request: Request) -> Response:
    """Never answers; returns once the caller has hung up, so that nothing of it stays behind."""
    while not await request.is_disconnected():  # noqa: ASYNC110 - nothing announces it
        await asyncio.sleep(0.05)
    return Response(status_code=499)


def garbage(headers: Mapping[str, str] | None = None) -> Response:
    """What a proxy in front of the API says."""
    page = "<html><body><center><h1>502 Bad Gateway</h1></center></body></html>"
    return HTMLResponse(page, status_code=502, headers=dict(headers or {}))
