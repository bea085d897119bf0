from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from keyturn.errors import Problem, Unavailable
from keyturn.http import BodyLimit, Boundary, install_problems, new_client
from keyturn.tracing import current


class Form(BaseModel):
    email: str
    password: str
    size: int = 1


def app() -> FastAPI:
    made = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})
    install_problems(made)
    made.add_middleware(BodyLimit, most=200)
    made.add_middleware(Boundary, service="test")

    @made.post("/form/{token}")
    async def form(token: str, form: Form) -> dict[str, str | None]:
        return {"email": form.email, "trace": current()}

    @made.get("/problem")
    async def problem() -> None:
        raise Problem(429, "too_many_requests", "wait a little", retry_after=7, limit=5)

    @made.get("/bug")
    async def bug() -> None:
        raise RuntimeError("password=hunter2")

    @made.get("/away")
    async def away() -> None:
        raise Unavailable("database of test")

    @made.get("/gone")
    async def gone() -> None:
        raise HTTPException(410, "gone for good")

    @made.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    return made


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app()), base_url="http://test") as client:
        yield client


async def test_a_problem_is_a_document_with_a_stable_code(http: httpx.AsyncClient) -> None:
    answer = await http.get("/problem")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "7"
    assert answer.json() == {
        "type": "urn:keyturn:problem:too_many_requests",
        "title": "Too many requests",
        "status": 429,
        "code": "too_many_requests",
        "detail": "wait a little",
        "retry_after": 7,
        "limit": 5,
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/raw", 405, "method_not_allowed"),
        ("GET", "/bug", 500, "internal_error"),
        ("GET", "/away", 503, "unavailable"),
        ("GET", "/gone", 410, "request_refused"),
    ],
)
async def test_every_error_is_a_problem(
    http: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await http.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "hunter2" not in answer.text


async def test_rule_17_wrong_fields_are_named_without_their_values(http: httpx.AsyncClient) -> None:
    answer = await http.post("/form/t", json={"password": ["hunter2"], "size": "hunter2"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "hunter2" not in answer.text
    found = {one["field"]: one["code"] for one in answer.json()["errors"]}
    assert found == {"email": "missing", "password": "string_type", "size": "int_parsing"}


async def test_a_body_that_is_no_json_is_a_400(http: httpx.AsyncClient) -> None:
    answer = await http.post("/form/t", content=b"{nope", headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("path", ["/raw", "/form/t"])
async def test_a_body_over_the_limit_is_refused_by_its_stated_length(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.post(path, content=b"x" * 201, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "content_too_large")


@pytest.mark.parametrize("path", ["/raw", "/form/t"])
async def test_a_body_that_grows_past_the_limit_is_refused(http: httpx.AsyncClient, path: str) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"x" * 10

    answer = await http.post(path, content=endless(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "content_too_large")


async def test_a_body_at_the_limit_is_taken(http: httpx.AsyncClient) -> None:
    assert (await http.post("/raw", content=b"x" * 200)).json() == 200


async def test_a_request_goes_on_in_its_callers_trace(http: httpx.AsyncClient) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await http.post("/form/t", json={"email": "a", "password": "b"}, headers={"traceparent": parent})
    assert answer.json()["trace"] == parent
    answer = await http.post("/form/t", json={"email": "a", "password": "b"}, headers={"traceparent": "garbage"})
    assert len(answer.json()["trace"]) == 55


async def test_our_client_follows_no_redirect_and_says_who_it_is() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(302, headers={"location": "http://elsewhere/"})

    async with new_client(transport=httpx.MockTransport(answer)) as client:
        assert (await client.get("http://one/")).status_code == 302
    assert len(seen) == 1
    assert seen[0].headers["user-agent"].startswith("Keyturn/")
