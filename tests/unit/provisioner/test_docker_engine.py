"""The client of Docker's engine: versions, addresses, and what an answer means. The calls themselves are made to a real
engine in tests/integration."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from provisioner.resources.docker.engine import Engine
from provisioner.resources.docker.frames import MOST, Frames
from provisioner.resources.docker.images import present
from provisioner.resources.docker.registries import Registries
from provisioner.resources.port import NeedsOperator, Permanent, Transient

Handler = Callable[[httpx.Request], httpx.Response]


def engine(answer: Handler) -> Engine:
    client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://docker")
    return Engine("main", client)


def speaking(most: str, least: str, seen: list[str]) -> Handler:
    """As an engine of these versions answers: it refuses a version that is none of its own."""

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        seen.append(path)
        if path == "/version":
            return httpx.Response(200, json={"ApiVersion": most, "MinAPIVersion": least})
        version = tuple(map(int, path.split("/")[1].removeprefix("v").split(".")))
        if not tuple(map(int, least.split("."))) <= version <= tuple(map(int, most.split("."))):
            return httpx.Response(400, json={"message": f"client version {path} is too old or too new"})
        return httpx.Response(200, json={})

    return answer


@pytest.mark.parametrize(
    ("most", "least", "spoken"),
    [("1.41", "1.12", "1.41"), ("1.50", "1.24", "1.50"), ("1.52", "1.44", "1.52"), ("1.99", "1.44", "1.52")],
)
async def test_the_newest_version_that_both_know_is_spoken(most: str, least: str, spoken: str) -> None:
    seen: list[str] = []
    one = engine(speaking(most, least, seen))
    await one.ask("GET", "info", expect={200})
    await one.ask("GET", "info", expect={200})
    assert seen == ["/version", f"/v{spoken}/info", f"/v{spoken}/info"]


@pytest.mark.parametrize(("most", "least", "says"), [("1.40", "1.12", "too old"), ("2.0", "1.53", "too new")])
async def test_an_engine_without_a_version_that_we_know_waits_for_an_operator(most: str, least: str, says: str) -> None:
    with pytest.raises(NeedsOperator, match=f"the engine of main is {says}"):
        await engine(speaking(most, least, [])).ask("GET", "info", expect={200})


@pytest.mark.parametrize("said", ["", "[]", '{"ApiVersion": 1}', '{"ApiVersion": "x", "MinAPIVersion": "y"}', "<html>"])
async def test_what_is_no_engine_is_named_so(said: str) -> None:
    with pytest.raises(NeedsOperator, match="no Docker engine"):
        await engine(lambda _: httpx.Response(200, text=said)).ask("GET", "info", expect={200})


async def test_an_engine_that_was_replaced_is_asked_for_its_version_again() -> None:
    seen: list[str] = []
    engines = [speaking("1.41", "1.12", seen)]

    def answer(request: httpx.Request) -> httpx.Response:
        return engines[-1](request)

    one = engine(answer)
    await one.ask("GET", "info", expect={200})
    engines.append(speaking("1.52", "1.44", seen))
    await one.ask("GET", "info", expect={200})
    assert seen == ["/version", "/v1.41/info", "/v1.41/info", "/version", "/v1.52/info"]


@pytest.mark.parametrize("name", ["../../info", "a/b", "a?x=1", "a#b", "a%2fb", "a b", "a\r\nX-Y: z", "é", "'; drop"])
async def test_a_name_stays_one_part_of_the_path(name: str) -> None:
    seen: list[str] = []
    await engine(speaking("1.41", "1.12", seen)).ask("GET", "containers", name, "json", expect={200})
    first, version, what, part, last = seen[1].split("/")
    assert (first, version, what, last) == ("", "v1.41", "containers", "json")
    assert not set(part) & set("?#; \r\n'")
    assert part.count("%") >= 1


@pytest.mark.parametrize(
    ("status", "raised"), [(400, Permanent), (404, Permanent), (409, Permanent), (500, Transient), (503, Transient)]
)
async def test_an_answer_that_is_not_expected_says_whether_it_may_be_asked_again(status: int, raised: type) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/version":
            return httpx.Response(200, json={"ApiVersion": "1.41", "MinAPIVersion": "1.12"})
        return httpx.Response(status, json={"message": "no\n\x1b[31mroom"})

    with pytest.raises(raised, match=r"no \[31mroom"):
        await engine(answer).ask("GET", "info", expect={200})


@pytest.mark.parametrize("error", [httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x")])
async def test_an_engine_that_is_away_is_asked_again(error: Exception) -> None:
    def answer(_: httpx.Request) -> Any:
        raise error

    with pytest.raises(Transient, match="the engine of main does not answer"):
        await engine(answer).ask("GET", "info", expect={200})


def test_frames_may_be_cut_anywhere() -> None:
    def frame(stream: int, said: bytes) -> bytes:
        return bytes([stream, 0, 0, 0]) + len(said).to_bytes(4, "big") + said

    whole = frame(1, b"one\n") + frame(2, b"two\n") + frame(1, b"") + frame(1, "drei é".encode())
    for size in (1, 3, 7, len(whole)):
        frames = Frames()
        for at in range(0, len(whole), size):
            frames.take(whole[at : at + size])
        assert frames.text == "one\ntwo\ndrei é"


def test_of_what_a_program_writes_no_more_is_kept_than_the_limit() -> None:
    frames = Frames()
    for _ in range(40):
        frames.take(bytes([1, 0, 0, 0]) + (2**14).to_bytes(4, "big") + b"x" * 2**14)
    assert len(frames.text) == MOST


def login(registry: str, said: str) -> str:
    return json.dumps({"auths": {registry: {"auth": base64.b64encode(said.encode()).decode()}}})


@pytest.mark.parametrize(
    ("registry", "image", "known"),
    [
        ("registry.example:5000", "registry.example:5000/team/shop", True),
        ("registry.example", "registry.example:5000/team/shop", False),
        ("registry.example", "team/shop", False),
        ("https://index.docker.io/v1/", "team/shop", True),
        ("https://index.docker.io/v1/", "shop", True),
        ("localhost", "localhost/shop", True),
    ],
)
def test_a_registry_is_told_who_we_are_and_no_other(tmp_path: Path, registry: str, image: str, known: bool) -> None:
    file = tmp_path / "config.json"
    file.write_text(login(registry, "jane:a:b"))
    headers = Registries(file).headers(image)
    assert bool(headers) is known
    if known:
        said = json.loads(base64.urlsafe_b64decode(headers["x-registry-auth"]))
        assert said == {"username": "jane", "password": "a:b", "serveraddress": registry}


@pytest.mark.parametrize("said", ["", "[]", "nothing", '{"auths": []}', '{"auths": {"r.example": {"auth": "%"}}}'])
def test_logins_that_cannot_be_read_wait_for_an_operator(tmp_path: Path, said: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(said)
    with pytest.raises(NeedsOperator, match="DOCKER_LOGINS"):
        Registries(file).headers("r.example/shop")
    with pytest.raises(NeedsOperator):
        Registries(tmp_path / "nowhere").headers("r.example/shop")


def test_without_logins_nobody_is_told_anything() -> None:
    assert Registries().headers("r.example/shop") == {}


@pytest.mark.parametrize(
    ("line", "raised"),
    [
        ("manifest for r.example/shop:1 not found: manifest unknown", NeedsOperator),
        ("pull access denied for shop, repository does not exist or may require 'docker login'", NeedsOperator),
        ("Get https://r.example/v2/: net/http: TLS handshake timeout", Transient),
    ],
)
async def test_a_pull_that_fails_after_its_200_says_who_can_help(tmp_path: Path, line: str, raised: type) -> None:
    file = tmp_path / "config.json"
    file.write_text(login("r.example", "jane:geheim"))
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if request.url.path == "/version":
            return httpx.Response(200, json={"ApiVersion": "1.41", "MinAPIVersion": "1.12"})
        if request.method == "GET":
            return httpx.Response(404, json={"message": "no such image"})
        lines = [{"status": "Pulling"}, {"errorDetail": {"message": line}, "error": line}]
        return httpx.Response(200, text="\r\n".join(map(json.dumps, lines)))

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://docker")
    with pytest.raises(raised, match="main cannot pull the image"):
        await present(Engine("main", client, Registries(file)), "r.example/shop:1")
    assert dict(seen[-1].url.params) == {"fromImage": "r.example/shop", "tag": "1"}
    assert "x-registry-auth" in seen[-1].headers
    assert "geheim" not in str(seen[-1].url)
