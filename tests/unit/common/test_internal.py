import asyncio
import base64
import os
import time
from typing import Any

import httpx
import jwt
import pytest
from fastapi import FastAPI

from keyturn.errors import Problem
from keyturn.http import install_problems
from keyturn.internal import Admin, Caller, InternalClient, Operator, Public, Signer, Verifier, Viewer

SEED = base64.b64encode(os.urandom(32)).decode()
SIGNER = Signer.from_seed(SEED)
SOMEBODY = Caller(actor="op@example.com", role="operator", reason="customer asked")


def app(audience: str = "billing", keys: str = SIGNER.public_key()) -> FastAPI:
    made = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})
    made.state.verifier = Verifier(keys, audience)
    install_problems(made)

    @made.get("/public")
    async def public(caller: Public) -> str:
        return caller.actor

    @made.get("/viewer")
    async def viewer(caller: Viewer) -> str:
        return caller.actor

    @made.get("/operator")
    async def operator(caller: Operator) -> dict[str, str | None]:
        return {"actor": caller.actor, "role": caller.role, "reason": caller.reason}

    @made.get("/admin")
    async def admin(caller: Admin) -> str:
        return caller.actor

    @made.post("/refuse")
    async def refuse(caller: Public) -> None:
        raise Problem(409, "name_taken", "somebody has that name", suggestion="shop-2")

    return made


def client(made: FastAPI, audience: str = "billing") -> InternalClient:
    return InternalClient("http://billing", audience, SIGNER, transport=httpx.ASGITransport(made))


async def refused(token: str | None, made: FastAPI | None = None) -> tuple[int, str]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(made or app()), base_url="http://billing") as http:
        answer = await http.get("/operator", headers={"authorization": f"Bearer {token}"} if token else {})
    return answer.status_code, answer.json()["code"] if answer.is_error else ""


async def test_the_service_learns_who_asks_and_why() -> None:
    found = await client(app()).request("GET", "/operator", SOMEBODY)
    assert found == {"actor": "op@example.com", "role": "operator", "reason": "customer asked"}


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("public", {"/public"}),
        ("customer", {"/public"}),
        ("viewer", {"/public", "/viewer"}),
        ("operator", {"/public", "/viewer", "/operator"}),
        ("admin", {"/public", "/viewer", "/operator", "/admin"}),
    ],
)
async def test_a_role_may_what_those_below_it_may(role: Any, allowed: set[str]) -> None:
    asked = client(app())
    for path in ("/public", "/viewer", "/operator", "/admin"):
        if path in allowed:
            assert await asked.request("GET", path, Caller("a", role))
        else:
            with pytest.raises(Problem) as problem:
                await asked.request("GET", path, Caller("a", role))
            assert (problem.value.status, problem.value.code) == (403, "forbidden")


async def test_a_call_without_token_is_refused() -> None:
    assert await refused(None) == (401, "unauthenticated")


async def test_a_token_for_another_service_is_refused() -> None:
    assert await refused(SIGNER.sign("provisioner", SOMEBODY)) == (401, "unauthenticated")


async def test_a_token_lives_sixty_seconds_and_a_small_tolerance() -> None:
    now = time.time()
    assert await refused(SIGNER.sign("billing", SOMEBODY, now=now - 62)) == (200, "")
    assert await refused(SIGNER.sign("billing", SOMEBODY, now=now - 70)) == (401, "unauthenticated")


async def test_a_clock_slightly_ahead_is_tolerated_and_more_is_not() -> None:
    now = time.time()
    assert await refused(SIGNER.sign("billing", SOMEBODY, now=now + 3)) == (200, "")
    assert await refused(SIGNER.sign("billing", SOMEBODY, now=now + 30)) == (401, "unauthenticated")


async def test_another_key_cannot_sign() -> None:
    stranger = Signer.from_seed(base64.b64encode(os.urandom(32)).decode())
    assert await refused(stranger.sign("billing", SOMEBODY)) == (401, "unauthenticated")


async def test_a_token_altered_or_of_another_algorithm_is_refused() -> None:
    head, body, signature = SIGNER.sign("billing", SOMEBODY).split(".")
    claims = {
        "iss": "gateway",
        "aud": "billing",
        "sub": "x",
        "role": "admin",
        "iat": time.time(),
        "exp": time.time() + 60,
    }
    unsigned = jwt.encode(claims, "", algorithm="none")
    symmetric = jwt.encode(claims, SIGNER.public_key(), algorithm="HS256")
    for token in (f"{head}.{body}.AAAA", f"{head}..{signature}", "x", unsigned, symmetric):
        assert await refused(token) == (401, "unauthenticated")


async def test_a_long_lived_or_roleless_token_is_refused_even_when_signed() -> None:
    now = int(time.time())
    claims = {"iss": "gateway", "aud": "billing", "sub": "x", "role": "admin", "iat": now, "exp": now + 3600}
    assert await refused(jwt.encode(claims, SIGNER._key, algorithm="EdDSA")) == (401, "unauthenticated")
    claims |= {"exp": now + 60, "role": "root"}
    assert await refused(jwt.encode(claims, SIGNER._key, algorithm="EdDSA")) == (401, "unauthenticated")


async def test_without_a_key_everything_is_refused() -> None:
    assert await refused(SIGNER.sign("billing", SOMEBODY), app(keys="")) == (401, "unauthenticated")


async def test_the_gateways_key_can_be_changed_without_a_pause() -> None:
    old = Signer.from_seed(base64.b64encode(os.urandom(32)).decode())
    both = app(keys=f"{old.public_key()},{SIGNER.public_key()}")
    assert await refused(SIGNER.sign("billing", SOMEBODY), both) == (200, "")
    assert await refused(old.sign("billing", SOMEBODY), both) == (200, "")


async def test_the_other_sides_problem_is_raised_again() -> None:
    with pytest.raises(Problem) as problem:
        await client(app()).request("POST", "/refuse", SOMEBODY, json={})
    assert (problem.value.status, problem.value.code) == (409, "name_taken")
    assert problem.value.extra == {"suggestion": "shop-2"}


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500, text="<html>"),
        httpx.Response(302, headers={"location": "http://elsewhere"}),
        httpx.Response(502, json={"no": "code"}),
    ],
)
async def test_an_answer_that_is_none_of_ours_means_unavailable(answer: httpx.Response) -> None:
    asked = InternalClient("http://b", "billing", SIGNER, transport=httpx.MockTransport(lambda _: answer))
    with pytest.raises(Problem) as problem:
        await asked.request("GET", "/x", SOMEBODY)
    assert (problem.value.status, problem.value.code) == (503, "billing_unavailable")


async def test_who_can_go_on_without_the_answer_waits_no_longer_than_they_say() -> None:
    async def for_ever(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    asking = InternalClient("http://billing", "billing", SIGNER, transport=httpx.MockTransport(for_ever))
    with pytest.raises(Problem) as problem:
        await asking.request("GET", "/viewer", SOMEBODY, within=0.01)
    assert problem.value.code == "billing_unavailable"


async def test_no_answer_means_unavailable() -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("no")

    asked = InternalClient("http://b", "billing", SIGNER, transport=httpx.MockTransport(broken))
    with pytest.raises(Problem) as problem:
        await asked.request("GET", "/x", SOMEBODY)
    assert problem.value.code == "billing_unavailable"
    await asked.close()


@pytest.mark.parametrize("seed", ["", "not base64", base64.b64encode(b"short").decode()])
def test_a_malformed_seed_is_refused(seed: str) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Signer.from_seed(seed)
