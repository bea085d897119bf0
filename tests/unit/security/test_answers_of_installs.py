"""An install belongs to its customer, so its answers are a stranger's; and so are the addresses that customers name."""

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from provisioner.resources import http
from provisioner.resources.http import Answer, CallParameters, HttpSetup
from provisioner.resources.port import Given, Refused
from provisioner.resources.public import PrivateAddress, pinned


class Sent(httpx.AsyncByteStream):
    """A body that arrives in one piece, and notes whether anybody read it."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.read = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.read = True
        yield self.body


async def answer_of(response: httpx.Response) -> Answer:
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: response))
    headers: dict[str, SecretStr] = {}
    return await http.ask(client, "GET", "http://127.0.0.1:1/", headers=headers, timeout=5, private=True)


async def test_rule_16_a_compressed_answer_is_not_unpacked() -> None:
    """A kilobyte of it may stand for a megabyte, and a chunk is unpacked whole before its size can be looked at."""
    sent = Sent(gzip.compress(b"0" * 50_000_000))
    with pytest.raises(httpx.HTTPError):
        await answer_of(httpx.Response(200, headers={"content-encoding": "gzip"}, stream=sent))
    assert not sent.read


async def test_no_compressed_answer_is_asked_for() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200)

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    await http.ask(client, "GET", "http://127.0.0.1:1/", headers={}, timeout=5, private=True)
    assert asked[0].headers["accept-encoding"] == "identity"


async def test_rule_16_an_answer_is_read_to_the_limit_and_no_further() -> None:
    with pytest.raises(httpx.HTTPError):
        await answer_of(httpx.Response(200, stream=Sent(b"x" * (http.ANSWER_LIMIT + 1))))


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"a":' * 50_000, b"9" * 10_000, b"\xff", b"", b"NaN"])
def test_an_answer_of_any_shape_has_no_member_rather_than_being_a_failure_of_ours(body: bytes) -> None:
    assert Answer(200, body).member("a.b") is None


async def test_what_an_install_says_of_a_password_is_plain_text() -> None:
    """It goes to a page, a database and operators' terminals."""
    said = json.dumps({"detail": "Use\0 ten\r\n\x1b[2Jcharacters\ud800." + "x" * 1000})
    transport = httpx.MockTransport(lambda _: httpx.Response(422, content=said.encode("utf-8", "surrogatepass")))
    values: dict[str, Any] = {"url": "http://127.0.0.1:1/", "refused": {422: "detail"}}
    given = Given(uuid4(), "setup0", CallParameters.model_validate(values))
    with pytest.raises(Refused) as refused:
        await HttpSetup(given, httpx.AsyncClient(transport=transport)).run()
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) <= 300


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "[::]", "[::1]", "[fe80::1]", "[fc00::1]", "[fd12::1]", "[ff02::1]",
        "[::ffff:127.0.0.1]", "[::ffff:169.254.169.254]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::]", "[64:ff9b::7f00:1]",
        "[64:ff9b::a9fe:a9fe]", "[2001::1]", "[2001:db8::1]",
    ],
)  # fmt: skip
async def test_no_spelling_of_a_private_address_is_called(address: str) -> None:
    with pytest.raises(PrivateAddress):
        await pinned(httpx.AsyncClient(), httpx.Request("GET", f"http://{address}/"))


@pytest.mark.parametrize("address", ["93.184.215.14", "[2606:2800:21f:cb07:6820:80da:af6b:8b2c]"])
async def test_an_address_of_the_open_net_is_called_as_it_was_checked(address: str) -> None:
    request = await pinned(httpx.AsyncClient(), httpx.Request("GET", f"http://{address}/"))
    assert request.url.host == address.strip("[]")
