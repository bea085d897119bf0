"""http.check and http.call, at their transport."""

import json
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from provisioner.resources import http
from provisioner.resources.http import CallParameters, CheckParameters, HttpCall, HttpCheck, HttpSetup
from provisioner.resources.port import Given, NotReady, Permanent, Refused, Transient, UnknownResult

Answer = Callable[[httpx.Request], httpx.Response]
T = TypeVar("T")


class MemoryNotes:
    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def get(self, name: str, default: Any = None) -> Any:
        return self.kept.get(name, default)

    async def save(self, **notes: Any) -> None:
        self.kept |= notes

    async def allocate(self, pool: str, numbers: range, *, refuse: object = ()) -> int:
        return numbers[0]

    async def keep(self, write: object) -> Any:
        raise NotImplementedError  # nothing here keeps a table of its own

    async def place(self, target: str, needs: object, *, labels: object) -> str:
        raise AssertionError

    async def leave(self) -> bool:
        raise AssertionError


def client(answer: Answer) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


def call(answer: Answer, named: frozenset[str] = frozenset(), **said: Any) -> HttpCall:
    parameters = CallParameters.model_validate({"url": "http://127.0.0.1:1/x"} | said)
    return HttpCall(Given(uuid4(), "call", parameters, named), client(answer))


def check(answer: Answer, named: frozenset[str] = frozenset(), **said: Any) -> HttpCheck:
    parameters = CheckParameters.model_validate({"url": "http://127.0.0.1:1/x", "within": 0} | said)
    return HttpCheck(Given(uuid4(), "check", parameters, named), client(answer))


def says(status: int, body: Any = None) -> Answer:
    return lambda _: httpx.Response(status, json=body)


async def test_a_check_passes_when_status_json_and_text_are_as_expected() -> None:
    expect = {"status": [200], "json": {"status": "ok"}, "contains": "ok"}
    found = check(says(200, {"status": "ok"}), expect=expect)
    assert await found.ensure(MemoryNotes()) == {}
    assert (await found.probe(MemoryNotes())).ok


@pytest.mark.parametrize("answer", [says(500), says(200, {"status": "starting"}), says(200, [])])
async def test_a_check_that_does_not_pass_yet_waits(answer: Answer) -> None:
    found = check(answer, expect={"status": [200], "json": {"status": "ok"}})
    with pytest.raises(NotReady):
        await found.ensure(MemoryNotes())
    assert not (await found.probe(MemoryNotes())).ok


async def test_a_call_is_made_once_and_its_captured_values_are_its_outputs() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(201, json={"user": {"id": 7}, "token": "s3cret"})

    notes = MemoryNotes()
    made = call(
        answer,
        json={"name": "Jane"},
        headers={"Authorization": "Bearer k"},
        capture={"id": "user.id", "token": "token"},
        secret=["token"],
    )
    first = await made.ensure(notes)
    assert first == await made.ensure(notes) == {"id": 7, "token": SecretStr("s3cret")}
    assert len(seen) == 1
    assert json.loads(seen[0].content) == {"name": "Jane"}
    assert "s3cret" not in repr(first)


@pytest.mark.parametrize(
    ("answer", "error"),
    [(says(503), Transient), (says(429), Transient), (says(404), Permanent), (says(302), Permanent), (says(422, {"detail": "too short"}), Refused)],
)  # fmt: skip
async def test_a_call_says_what_an_answer_means(answer: Answer, error: type[Exception]) -> None:
    with pytest.raises(error):
        await call(answer, refused={"422": "detail"}).ensure(MemoryNotes())


@pytest.mark.parametrize("value", [rb'"a\u0000b"', rb'"\ud800"', b"NaN", b"-Infinity"])
async def test_a_call_captures_nothing_that_no_database_keeps(value: bytes) -> None:
    made = call(lambda _: httpx.Response(200, content=b'{"id": ' + value + b"}"), capture={"id": "id"})
    with pytest.raises(Permanent, match="no database keeps"):
        await made.ensure(MemoryNotes())


async def test_a_call_that_must_not_be_sent_twice_is_not() -> None:
    def lost(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("lost", request=request)

    made, notes = call(lost, repeatable=False), MemoryNotes()
    for _ in range(2):
        with pytest.raises(UnknownResult):
            await made.ensure(notes)
    with pytest.raises(Transient):
        await call(lost, repeatable=True).ensure(MemoryNotes())


async def test_an_answer_that_is_too_large_is_not_read_to_its_end() -> None:
    huge = check(lambda _: httpx.Response(200, content=b"x" * (http.ANSWER_LIMIT + 1)))
    with pytest.raises(NotReady):
        await huge.ensure(MemoryNotes())
    with pytest.raises(Permanent):
        await call(says(200), json="x" * (http.BODY_LIMIT + 1)).ensure(MemoryNotes())


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://10.0.0.1/", "http://169.254.169.254/latest",
     "http://[::ffff:127.0.0.1]/", "http://0.0.0.0/", "http://2130706433/", "http://192.168.1.1:8080/"],
)  # fmt: skip
async def test_an_address_that_a_customer_gave_must_be_a_public_one(url: str) -> None:
    reached: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        reached.append(request)
        return httpx.Response(200)

    with pytest.raises(Permanent):
        await check(answer, named=frozenset({"url"}), url=url).ensure(MemoryNotes())
    assert reached == []


async def test_a_public_address_that_a_customer_gave_is_asked_at_the_address_that_was_checked() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    await check(answer, named=frozenset({"url"}), url="http://8.8.8.8:81/x").ensure(MemoryNotes())
    assert (seen[0].url.host, seen[0].headers["host"]) == ("8.8.8.8", "8.8.8.8:81")


@pytest.mark.parametrize("url", ["ftp://example.com", "file:///etc/passwd", "no address", "http://"])
async def test_only_http_addresses_are_asked(url: str) -> None:
    with pytest.raises(Permanent):
        await call(says(200), url=url).ensure(MemoryNotes())


async def test_rule_17_a_header_with_a_secret_is_not_in_any_repr() -> None:
    made = call(says(200), headers={"Authorization": "Bearer s3cret"}, json={"password": "hunter22"})
    assert "s3cret" not in repr(made.parameters)
    assert "hunter22" not in repr(made.parameters)
    with pytest.raises(ValidationError) as caught:
        CallParameters.model_validate({"url": "", "headers": {"bad name": "s3cret"}})
    assert "s3cret" not in str(caught.value)


async def test_setup_refuses_with_the_words_of_the_install() -> None:
    parameters = CallParameters.model_validate({"url": "http://127.0.0.1:1/", "refused": {"422": "detail"}})
    setup = HttpSetup(Given(uuid4(), "setup0", parameters), client(says(422, {"detail": "Use ten characters."})))
    with pytest.raises(Refused, match="Use ten characters"):
        await setup.run()
