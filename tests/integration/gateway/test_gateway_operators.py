"""Operators on PostgreSQL: the first token, roles, revoking, and an audit log that only grows."""

import asyncio
import json
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from gateway.operators import hashed, make_first_operator
from keyturn.clock import MovableClock
from keyturn.events import Envelope
from support.gateway import Gateway
from support.journeys import hear

pytestmark = pytest.mark.servers


async def call(gateway: Gateway, token: str, method: str, path: str, **rest: Any) -> httpx.Response:
    return await gateway.client.request(method, path, headers={"Authorization": f"Bearer {token}"}, **rest)


async def new_token(gateway: Gateway, admin: str, **wanted: Any) -> dict[str, Any]:
    body = {"name": "ci", "role": "viewer", "reason": "tests"} | wanted
    answer = await call(gateway, admin, "POST", "/api/tokens", json=body)
    assert answer.status_code == 201
    made: dict[str, Any] = answer.json()
    return made


async def heard(gateway: Gateway) -> None:
    """The gateway's own events, as the bus brings them back."""
    rows = await gateway.rows("SELECT body FROM outbox ORDER BY id")
    await hear(gateway.service.database, *(Envelope.from_bytes(row.body) for row in rows))


async def test_first_token_is_written_once_for_its_owner_alone(gateway: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "new" / "token"
    database = gateway.service.database
    await asyncio.gather(*(make_first_operator(database, file) for _ in range(3)))
    token = file.read_text().strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert await gateway.count("tokens") == 1
    file.unlink()
    await make_first_operator(database, file)
    assert not file.exists()
    assert (await call(gateway, token, "GET", "/api/me")).json() == {"actor": "first", "role": "admin"}


async def test_rule_17_only_the_hash_of_a_token_is_stored(gateway: Gateway, admin: str) -> None:
    made = await new_token(gateway, admin)
    rows = await gateway.rows("SELECT hash, tokens::text AS whole FROM tokens WHERE id = :id", id=made["id"])
    assert rows[0].hash == hashed(made["token"])
    assert made["token"] not in rows[0].whole
    published = await gateway.rows("SELECT body FROM outbox")
    assert all(made["token"].encode() not in row.body for row in published)


async def test_token_does_what_its_role_may_and_no_more(gateway: Gateway, admin: str) -> None:
    viewer = (await new_token(gateway, admin))["token"]
    assert (await call(gateway, viewer, "GET", "/api/audit")).status_code == 200
    refused = await call(gateway, viewer, "POST", "/api/tokens", json={"name": "x", "reason": "y"})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    unknown = await call(gateway, "kt_" + "x" * 43, "GET", "/api/audit")
    assert (unknown.status_code, unknown.json()["code"]) == (401, "unauthenticated")


async def test_revoked_or_expired_token_is_refused_at_once(gateway: Gateway, admin: str, clock: MovableClock) -> None:
    revoked, expiring = await new_token(gateway, admin), await new_token(gateway, admin, days=1)
    answer = await call(gateway, admin, "DELETE", f"/api/tokens/{revoked['id']}", json={"reason": "leaked"})
    assert answer.status_code == 200
    assert (await call(gateway, revoked["token"], "GET", "/api/me")).status_code == 401
    assert (await call(gateway, expiring["token"], "GET", "/api/me")).status_code == 200
    clock.move(timedelta(days=2))
    assert (await call(gateway, expiring["token"], "GET", "/api/me")).status_code == 401
    listed = (await call(gateway, admin, "GET", "/api/tokens")).json()["items"]
    shown = next(token for token in listed if token["id"] == revoked["id"])
    assert shown["revokedAt"]
    assert revoked["token"] not in str(listed)


async def test_every_change_says_why_and_is_found_in_the_audit_log(gateway: Gateway, admin: str) -> None:
    made = await new_token(gateway, admin, reason="for the build")
    missing = await call(gateway, admin, "POST", "/api/tokens", json={"name": "x"})
    assert missing.status_code == 422
    await heard(gateway)
    await heard(gateway)
    found = (await call(gateway, admin, "GET", "/api/audit?action=token.created")).json()["items"]
    assert [(entry["actor"], entry["reason"], entry["target"]) for entry in found] == [
        ("first", "for the build", f"token:{made['id']}")
    ]


async def test_audit_log_is_read_page_by_page(gateway: Gateway, admin: str) -> None:
    for number in range(5):
        await new_token(gateway, admin, name=f"t{number}")
    await heard(gateway)
    seen, cursor = [], ""
    while True:
        page = (await call(gateway, admin, "GET", f"/api/audit?limit=2&action=token.created{cursor}")).json()
        seen += [entry["after"]["name"] for entry in page["items"]]
        if not page["nextCursor"]:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert seen == ["t4", "t3", "t2", "t1", "t0"]


async def test_action_reaches_the_service_with_who_and_why(gateway: Gateway, admin: str) -> None:
    install = "018f0000-0000-7000-8000-000000000001"
    path = f"/internal/installs/{install}/suspend"
    gateway.services.answers[path] = lambda _: httpx.Response(200, json={"install_id": install, "was_ok": True})
    answer = await call(gateway, admin, "POST", f"/api/installs/{install}/suspend", json={"reason": "abuse report"})
    assert answer.json() == {"installId": install, "wasOk": True}
    asked = gateway.services.asked[-1]
    claims = jwt.decode(asked.headers["authorization"].split()[1], options={"verify_signature": False})
    assert (claims["sub"], claims["role"], claims["reason"], claims["aud"]) == (
        "first",
        "admin",
        "abuse report",
        "provisioner",
    )


@pytest.mark.parametrize("now", [False, True])
async def test_rule_14_only_now_asks_for_the_data_to_go_at_once(gateway: Gateway, admin: str, *, now: bool) -> None:
    install = "018f0000-0000-7000-8000-000000000001"
    path = f"/installs/{install}/delete"
    gateway.services.answers[f"/internal{path}"] = lambda _: httpx.Response(200, json={"status": "deleting"})
    body = {"reason": "asked"} | ({"now": True} if now else {})
    assert (await call(gateway, admin, "POST", f"/api{path}", json=body)).status_code == 200
    assert json.loads(gateway.services.asked[-1].content) == {"reason": "asked", "now": now}


async def test_work_of_the_reachable_services_is_shown_and_the_others_are_named(gateway: Gateway, admin: str) -> None:
    row = {"id": "018f0000-0000-7000-8000-000000000002", "kind": "mail", "state": "dead", "cause": "smtp"}
    gateway.services.answers["/internal/work"] = lambda request: (
        httpx.Response(200, json={"items": [row], "cursor": None}) if request.url.port == 8003 else _away()
    )
    shown = (await call(gateway, admin, "GET", "/api/work?state=dead")).json()
    assert shown["items"] == [{"service": "notifier", **row, "id": f"notifier:{row['id']}"}]
    assert shown["unavailable"] == ["billing", "provisioner"]


async def test_work_action_goes_to_the_service_of_each_id(gateway: Gateway, admin: str) -> None:
    gateway.services.answers["/internal/work/retry"] = lambda _: httpx.Response(200, json={"count": 1})
    ids = [f"{service}:018f0000-0000-7000-8000-000000000002" for service in ("billing", "notifier", "gateway")]
    answer = await call(gateway, admin, "POST", "/api/work/retry", json={"ids": ids, "reason": "mended"})
    assert answer.json()["byService"] == {"billing": 1, "notifier": 1, "gateway": 0}
    both = await call(gateway, admin, "POST", "/api/work/retry", json={"ids": ids, "all": True, "reason": "x"})
    assert both.status_code == 422


def _away() -> httpx.Response:
    raise httpx.ConnectError("away")
