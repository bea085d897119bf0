"""Signed and yet hostile: a payload may hold what a buyer typed, or come from somebody who found the secret. Whatever is
stored can be listed, shown and read again."""

import json
from typing import Any

import pytest

from support import provider_webhooks as sent
from support.gateway import Gateway

pytestmark = pytest.mark.servers
WHY = {"reason": "look again"}
HALF = '"\\ud800"'  # half a surrogate pair, which sends the body past the quick parser


def nested(depth: int, inside: str) -> str:
    return '{"a":' * depth + inside + "}" * depth


HOSTILE = {
    "deep": nested(190, "1"),
    "deep, with half a surrogate": nested(190, HALF),
    "deeper than the quick parser goes": nested(400, "1"),
    "as deep as our own stack": nested(900, HALF),
    "deep lists": "[" * 400 + HALF + "]" * 400,
    "beyond any stack": nested(50_000, "1"),
    "infinite": "[1e999, -1e999]",
    "infinite, with half a surrogate": f"[1e999, {HALF}]",
    "a number longer than numbers are": "9" * 4_200,
    "a number longer than numbers may be": "9" * 5_000,
    "NUL and half surrogates as names": f'{{"\\u0000": "\\u0000", {HALF}: {HALF}}}',
}


def signed(what: str) -> bytes:
    """A refund that cannot be read, and the hostile part beside it."""
    event = sent.stripe_event("refund.created", {"id": "re_1", "metadata": "HERE"})
    return json.dumps(event).replace('"HERE"', HOSTILE[what]).encode()


@pytest.mark.parametrize("what", HOSTILE)
async def test_what_is_signed_is_refused_or_can_be_listed_shown_and_read_again(
    gateway: Gateway, admin: str, what: str
) -> None:
    async def ask(method: str, path: str, **sending: Any) -> int:
        operator = {"authorization": f"Bearer {admin}"}
        return (await gateway.client.request(method, f"/api/webhooks{path}", headers=operator, **sending)).status_code

    body = signed(what)
    answer = await gateway.client.post("/api/webhooks/stripe", content=body, headers=sent.stripe_headers(body))
    stored = [row.id for row in await gateway.rows("SELECT id FROM webhooks")]
    if answer.status_code != 200:
        assert (answer.status_code, answer.json()["code"], stored) == (400, "invalid_json", [])
        return
    assert await ask("GET", "") == 200
    assert await ask("GET", f"/{stored[0]}") == 200
    assert await ask("POST", f"/{stored[0]}/reprocess", json=WHY) == 200
    assert await ask("POST", "/reprocess", json=WHY) == 200
