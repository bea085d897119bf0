"""What may stand in nginx's configuration, and that the same sites always make the same bytes."""

import random
import re
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from provisioner.resources.nginx import SiteParameters
from provisioner.resources.nginx_config import Around, Layout, listens, render, version_of
from provisioner.resources.nginx_sites import Site

NGINX = Around((1, 22, 1), b"certificate")
LAYOUT = Layout(Path("/srv/nginx"), Path("/srv/acme"), ("443",), ("80",), "/etc/wild.crt", "/etc/wild.key")
HOSTILE = [
    "", ".", "..", "a", "localhost", "-a.example", "a-.example", "a..example", ".a.example", "a.example.", "*.a.example",
    "a.example\n", "a.example;", "a.example {", "a.example}", 'a".example', "a'.example", "a.example #", "a/b.example",
    "../../etc", "a.example$host", "~^a.example", "a b.example", "a\\.example", "A.example", "\u0430.example",
    "\u212aeys.example", "shop\u200b.example", "sho\uff0ep.example", "127.0.0.1", "a.example:443", "default", "hostnames",
    "include", "a_b.example", "a.example\x00", f"{'a' * 64}.example", f"{'a.' * 126}example",
]  # fmt: skip


def site(hostname: str = "a.example", **said: Any) -> Site:
    values: dict[str, Any] = {
        "install_id": UUID(int=7),
        "upstream": "127.0.0.1:20000",
        "state": "on",
        "body_size": "25m",
    }
    return Site(hostname=hostname, resource="site", **values | said)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_no_host_name_whoever_says_it(name: str) -> None:
    with pytest.raises(ValidationError):
        SiteParameters(hostname=name, upstream="127.0.0.1:1")
    with pytest.raises(ValueError, match="is no host name"):
        render(LAYOUT, [site(name)], NGINX)
    if name:  # an empty one is left out
        with pytest.raises(ValidationError):
            SiteParameters(hostname="a.example", domains=[name], upstream="127.0.0.1:1")


@pytest.mark.parametrize(
    "said",
    [
        {"upstream": "127.0.0.1:80;"}, {"upstream": "evil.example:80"}, {"upstream": "127.0.0.1"},
        {"upstream": "127.0.0.1:99999"}, {"upstream": "127.0.0.1:80\n"}, {"upstream": "999.1.1.1:80"},
        {"upstream": "[::1%lo]:80"}, {"upstream": "unix:/run/x.sock"}, {"body_size": "25m;"}, {"body_size": "0"},
        {"body_size": "25m\n"}, {"certificate": "/a/../b", "certificate_key": "/k"},
        {"certificate": "relative", "certificate_key": "/k"}, {"certificate": '/a"; b', "certificate_key": "/k"},
        {"certificate": "/a$b", "certificate_key": "/k"}, {"certificate": "/a\n", "certificate_key": "/k"},
        {"certificate": "data:-----BEGIN", "certificate_key": "/k"},
    ],
)  # fmt: skip
def test_nothing_else_of_a_site_may_mean_anything_to_nginx(said: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SiteParameters.model_validate({"hostname": "a.example", "upstream": "127.0.0.1:1", **said})
    with pytest.raises(ValueError):
        render(LAYOUT, [site(**said)], NGINX)


def test_a_certificate_without_its_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="stand together"):
        SiteParameters(hostname="a.example", upstream="127.0.0.1:1", certificate="/a.crt")


@given(name=st.text(max_size=80) | st.from_regex(r"[a-z0-9.\-;{}$\"'\\ \n]{1,40}\.[a-z]{2,5}"))
def test_whatever_is_taken_as_a_host_name_is_letters_digits_hyphens_and_dots(name: str) -> None:
    try:
        text = render(LAYOUT, [site(name)], NGINX)
    except ValueError:
        return
    assert re.fullmatch(r"[a-z0-9.-]+", name)
    lines = [line for line in text.splitlines() if name in line.split()]
    assert lines  # a word of its own, and nothing beside it but what we say of it
    assert all(re.fullmatch(r"  [a-z0-9.-]+ [\w-]+;", line) for line in lines)


@given(seed=st.integers())
def test_the_same_sites_make_the_same_bytes_in_whatever_order_they_come(seed: int) -> None:
    sites = [site(f"s{n}.example", install_id=uuid4(), body_size=f"{1 + n % 3}m") for n in range(8)]
    text = render(LAYOUT, sites, NGINX)
    random.Random(seed).shuffle(sites)
    assert render(LAYOUT, sites, NGINX) == text
    assert render(LAYOUT, sites[1:], NGINX) != text
    assert version_of(text) != version_of(render(LAYOUT, sites[1:], NGINX))


def test_a_mark_changes_with_everything_that_nginx_knows_of_a_site_and_with_nothing_else() -> None:
    variants = [
        site(), site("b.example"), site(upstream="127.0.0.1:20001"), site(state="suspended"), site(body_size="1m"),
        site(certificate="/a", certificate_key="/b"),
    ]  # fmt: skip
    assert len({one.mark for one in variants}) == len(variants)
    assert site(install_id=uuid4()).mark == site().mark


def test_a_renewed_wildcard_certificate_is_another_version() -> None:
    renewed = Around(NGINX.nginx, b"renewed")
    assert version_of(render(LAYOUT, [], renewed)) != version_of(render(LAYOUT, [], NGINX))


def test_http2_is_said_as_this_nginx_wants_it() -> None:
    assert "ssl http2 default_server;" in render(LAYOUT, [], Around((1, 25, 0), b""))
    newer = render(LAYOUT, [], Around((1, 25, 1), b""))
    assert "listen 443 ssl default_server;" in newer
    assert "http2 on;" in newer


def test_three_thousand_sites_need_one_server_and_each_size_of_body_and_own_certificates_one_more() -> None:
    sites = [site(f"s{n}.example", body_size="1g" if n % 2 else "25m") for n in range(3000)]
    own = [site(f"own{n}.example", certificate=f"/{n}.crt", certificate_key=f"/{n}.key") for n in range(100)]
    assert render(LAYOUT, sites + own, NGINX).count("\nserver {") == 4  # of which one is http's


@pytest.mark.parametrize(
    ("text", "found"), [("443", ("", 443)), ("127.0.0.1:1", ("127.0.0.1", 1)), ("[::]:80", ("[::]", 80))]
)
def test_what_nginx_listens_on(text: str, found: tuple[str, int]) -> None:
    assert listens(text) == found


@pytest.mark.parametrize("text", ["", "x", "0", "65536", "443;", "443\n", "a:443", "[::]", "unix:/x"])
def test_what_nginx_cannot_listen_on_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not what nginx can listen on"):
        listens(text)


def test_where_nginx_is_reached_from_this_machine() -> None:
    def reached(address: str) -> str:
        return Layout(Path("/x"), Path("/y"), (address,), (), "/c", "/k").reached_at

    assert [reached(a) for a in ("443", "0.0.0.0:443", "[::]:443", "10.1.2.3:8443")] == [
        "127.0.0.1:443", "127.0.0.1:443", "[::1]:443", "10.1.2.3:8443",
    ]  # fmt: skip
