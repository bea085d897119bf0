"""Who sends a body a byte at a time holds memory and a connection: both are given back after a while."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.types import Message

from gateway.webhooks.requests import read_body
from keyturn.errors import Problem
from keyturn.http import BodyLimit, install_problems


def dripping(parts: int = 3) -> Callable[[], Awaitable[Message]]:
    """A body of which so many bytes come, and then nothing more."""
    left = iter(range(parts))

    async def receive() -> Message:
        if next(left, None) is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b"x", "more_body": True}

    return receive


async def test_a_webhook_that_never_ends_is_given_up() -> None:
    with pytest.raises(Problem) as refused:
        await read_body(dripping(), within=0.02)
    assert (refused.value.status, refused.value.code) == (408, "request_timeout")


async def answered(app: Any, receive: Callable[[], Awaitable[Message]], path: str) -> list[Message]:
    scope = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [(b"content-type", b"application/json")], "http_version": "1.1", "scheme": "http",
        "server": ("s", 80), "client": ("c", 1),
    }  # fmt: skip
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


@pytest.fixture
def app() -> FastAPI:
    made = FastAPI()
    install_problems(made)
    made.add_middleware(BodyLimit, most=1000, within=0.02)

    @made.post("/json")
    async def whole(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    @made.post("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> Any:
            yield b"one "
            await asyncio.sleep(0.1)
            yield b"two"

        return StreamingResponse(parts())

    return made


async def test_a_body_that_never_ends_is_given_up(app: FastAPI) -> None:
    sent = await answered(app, dripping(), "/json")
    assert sent[0]["status"] == 408


async def test_an_answer_may_take_longer_than_its_request(app: FastAPI) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        assert (await client.post("/stream", content=b"{}")).text == "one two"
