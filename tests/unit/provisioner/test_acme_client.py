"""What an ACME server's answers mean, and that nothing it says becomes a path."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from acme import messages

from keyturn.clock import SystemClock
from provisioner.resources.acme_challenges import Answer, Answers, account_of
from provisioner.resources.acme_client import Authority, Proof
from provisioner.resources.acme_errors import RateLimited, meaning
from provisioner.resources.acme_network import retry_after
from provisioner.resources.dns import Dns
from provisioner.resources.dns_asking import Asking
from provisioner.resources.dns_powerdns import Server
from provisioner.resources.port import NeedsOperator, Permanent, Transient
from provisioner.resources.tls_pairs import new_key


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (429, "rateLimited", RateLimited),
        (400, "rateLimited", RateLimited),
        (429, "malformed", RateLimited),
        (500, "serverInternal", Transient),
        (503, "malformed", Transient),
        (403, "orderNotReady", Transient),
        (400, "rejectedIdentifier", Permanent),
        (400, "malformed", Permanent),
        (403, "unauthorized", NeedsOperator),
        (400, "accountDoesNotExist", NeedsOperator),
        (403, "somethingNew", Permanent),
    ],
)
def test_each_error_has_a_meaning(status: int, code: str, kind: type[Exception]) -> None:
    said = {"type": f"urn:ietf:params:acme:error:{code}", "detail": "no\nsuch \x00thing"}
    error = messages.Error.from_json(said)
    found = meaning(error, status, timedelta(hours=1))
    assert type(found) is kind
    assert "\n" not in str(found)
    assert "\0" not in str(found)
    assert getattr(found, "retry_after", None) == (timedelta(hours=1) if issubclass(kind, Transient) else None)


@pytest.mark.parametrize(
    ("text", "seconds"), [("120", 120), ("", None), ("soon", None), ("-5", None), ("Mon, 01 Jan 2024 00:00:00 GMT", 0)]
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: int | None) -> None:
    assert retry_after(text) == (None if seconds is None else timedelta(seconds=seconds))


async def test_without_a_server_an_operator_is_needed_and_with_none_there_it_is_tried_again() -> None:
    with pytest.raises(NeedsOperator, match="ACME_DIRECTORY"):
        Authority("").account(new_key())
    with pytest.raises(Transient):
        await Authority("https://127.0.0.1:1/dir").account(new_key()).find("https://127.0.0.1:1/order")


def proof(token: str = "t" * 43, name: str = "example.test") -> Proof:
    return Proof(name, token, f"{token}.thumb", "digest", lambda: None, pending=True)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def answers(folder: Path, answer: Any = None) -> Answers:
    client = httpx.AsyncClient(transport=httpx.MockTransport(answer or (lambda _: httpx.Response(404))))
    return Answers(folder, Dns(Server(client, "http://dns.example", "key"), Asking(), Asking(), SystemClock()))


@pytest.mark.parametrize(
    "token", ["", "short", "../../../../etc/passwd", "a/" * 20, "t" * 201, "t" * 42 + "\n", ".." * 20]
)
async def test_a_token_that_is_none_becomes_no_file(tmp_path: Path, token: str) -> None:
    with pytest.raises(Permanent):
        await answers(tmp_path).of("http-01", [proof(token)], frozenset())
    with pytest.raises(Permanent):
        await answers(tmp_path).remove(uuid4(), Answer("http-01", token, ()))
    assert names_in(tmp_path) == []


async def test_a_file_is_there_whole_for_all_to_read_and_goes_again(tmp_path: Path) -> None:
    ways, certificate = answers(tmp_path / "acme"), uuid4()
    (answer,) = await ways.of("http-01", [proof()], frozenset())
    await ways.put(certificate, [answer])
    (file,) = (tmp_path / "acme").iterdir()
    assert (file.name, file.read_text(), file.stat().st_mode & 0o777) == ("t" * 43, f"{'t' * 43}.thumb", 0o644)
    await ways.remove(certificate, answer)
    await ways.remove(certificate, answer)
    assert list((tmp_path / "acme").iterdir()) == []


async def test_a_folder_that_cannot_be_written_needs_an_operator(tmp_path: Path) -> None:
    (tmp_path / "acme").write_text("a file")
    with pytest.raises(NeedsOperator, match="ACME challenges"):
        await answers(tmp_path / "acme").put(uuid4(), [Answer("http-01", "t" * 43, ("x",))])


async def test_a_domain_and_its_wildcard_are_one_record_in_the_nearest_zone(tmp_path: Path) -> None:
    zones = {"/api/v1/servers/localhost/zones/example.test.": ""}

    def said(request: httpx.Request) -> httpx.Response:
        account = zones.get(request.url.path)
        return httpx.Response(404) if account is None else httpx.Response(200, json={"account": account})

    both = [proof(name="a.example.test"), proof(name="a.example.test")]
    (answer,) = await answers(tmp_path, said).of("dns-01", both, frozenset())
    assert (answer.place, answer.zone, answer.values) == (
        "_acme-challenge.a.example.test",
        "example.test",
        ("digest", "digest"),
    )
    install = uuid4()
    zones["/api/v1/servers/localhost/zones/example.test."] = account_of(install)
    with pytest.raises(Permanent, match="another install's"):
        await answers(tmp_path, said).of("dns-01", both, frozenset())
    assert await answers(tmp_path, said).of("dns-01", both, frozenset({account_of(install)}))
    with pytest.raises(NeedsOperator, match=r"no zone for b\.test"):
        await answers(tmp_path, said).of("dns-01", [proof(name="b.test")], frozenset())
