"""Every field of every JSON body that a service takes, filled with what no field takes: the caller's mistake, never a
failure of ours, and never one of a service behind the gateway."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from support.house import NAMES, House, filled

pytestmark = pytest.mark.servers
NASTY = {
    "half a surrogate": r'"a\ud800"',
    "NUL": r'"a\u0000b"',
    "lines": r'"a\r\nBcc: x@example.com"',
    "an overlong text": '"' + "x" * 100_000 + '"',
    "a number beyond integers": "9" * 400,
    "a number beyond Python": "9" * 5_000,
    "infinite": "1e999",
    "no number": "NaN",
    "deep": "[" * 3_000 + "]" * 3_000,
    "nothing": "null",
}
USUAL = {"email": "ada@example.com", "reason": "because", "all": True, "password": "a long password"}


def fields(document: dict[str, Any], body: dict[str, Any]) -> Iterator[str]:
    schema = body["content"]["application/json"]["schema"]
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    yield from schema.get("properties", {})


def bodies(document: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if body := operation.get("requestBody"):
                yield from ((method, path, field) for field in fields(document, body))


@pytest.mark.parametrize("what", NASTY)
async def test_what_no_field_takes_is_the_callers_mistake_in_every_field(home: House, what: str) -> None:
    asked = [(name, *body) for name in NAMES for body in bodies(home.services[name].app.openapi())]
    assert ("gateway", "post", "/api/checkout", "storeName") in asked
    for service, method, path, field in asked:
        body = json.dumps(USUAL | {field: "HERE"}).replace('"HERE"', NASTY[what])
        address = f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}::1"  # with a rate limit of its own
        headers = {"content-type": "application/json", "x-forwarded-for": address}
        headers |= home.proof(service, path, "admin")
        url = f"http://{service}{filled(path)}"
        answer = await home.client.request(method, url, content=body.encode(), headers=headers)
        assert answer.status_code < 500, (service, method, path, field, answer.text)
        assert answer.status_code < 400 or answer.json()["code"], (service, method, path, field)
