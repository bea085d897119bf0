"""What must be right about a webhook request before and after its signature: precise problems, one code each."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.types import Receive

from gateway.webhooks.notice import Source
from gateway.webhooks.payload import parse
from keyturn.errors import Problem

MOST_BYTES = 1024 * 1024
BODY_WITHIN = 20.0  # seconds; no provider waits longer for our answer
JSON_TYPE = b"application/json"


class ClientGone(Exception):
    """The sender hung up before its body was complete."""


def check_head(method: str, headers: Mapping[bytes, bytes], secrets: Sequence[bytes]) -> None:
    if method != "POST":
        raise Problem(405, "method_not_allowed", "webhooks are sent with POST")
    if not secrets:
        raise Problem(404, "endpoint_off", "no webhook secret is set for this provider")
    if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != JSON_TYPE:
        raise Problem(415, "unsupported_media_type", "webhooks are sent as application/json")
    stated = headers.get(b"content-length", b"")
    if stated.isdigit() and int(stated[:20]) > MOST_BYTES:
        raise _too_large()


async def read_body(receive: Receive, within: float = BODY_WITHIN, *, whole: bool = False) -> bytes:
    """`whole`: it is here already, as the server says."""
    if whole:  # a timer takes longer than all the rest
        return await _read(receive)
    try:
        async with asyncio.timeout(within):
            return await _read(receive)
    except TimeoutError:
        raise Problem(408, "request_timeout", "the body did not come in time") from None


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MOST_BYTES:
            raise _too_large()
        more = message.get("more_body", False)
    if not size:
        raise Problem(400, "empty_body", "the body is empty")
    return b"".join(parts)


def _too_large() -> Problem:
    return Problem(413, "content_too_large", f"the body is larger than {MOST_BYTES} bytes")


def document_of(source: Source, body: bytes) -> dict[str, Any]:
    """The signed body as JSON. Only an object can be an event."""
    try:
        body.decode()
    except UnicodeDecodeError:
        raise Problem(400, "invalid_utf8", "the body is not UTF-8") from None
    try:
        document = parse(body)
    except ValueError:
        raise Problem(400, "invalid_json", "the body is not valid JSON") from None
    if not isinstance(document, dict):
        raise Problem(400, "not_an_event", "the body is not a JSON object")
    if refusal := source.refuse(document):
        raise Problem(400, *refusal)
    return document
