"""Customers are sent to the allowed origins and nowhere else, however browsers read an address."""

import base64
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.checkout import check_return_url
from gateway.deps import GatewayDeps
from gateway.settings import GatewaySettings
from keyturn.errors import Problem

SETTINGS = GatewaySettings(
    _env_file=None,
    database_url="postgresql://localhost/x",
    session_key="k" * 40,
    signing_key=base64.b64encode(bytes(32)).decode(),
    public_url="https://shop.example",
    allowed_origins=("https://other.example:8443",),
)
DEPS = cast("GatewayDeps", cast("Any", SimpleNamespace(settings=SETTINGS)))


@pytest.mark.parametrize(
    "url",
    ["https://shop.example", "https://shop.example/a?b=c#d", "https://other.example:8443/", "https://SHOP.example/"],
)
def test_an_allowed_origin_is_taken(url: str) -> None:
    check_return_url(DEPS, url)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "//evil.example/",
        "/relative",
        "javascript:alert(1)//https://shop.example",
        "http://shop.example/",
        "https://shop.example:444/",
        "https://shop.example.evil.example/",
        "https://evil.example\\@shop.example/",  # browsers take \\ for /: this leads to evil.example
        "https:\\\\evil.example\\@shop.example",
        "https://evil.example@shop.example/",
        "https://shop.example@evil.example/",
        "https://evil.example\t@shop.example/",
        "https://shop.example/\r\nset-cookie:a=b",
        "https://evil.example#@shop.example/",
        "https://[shop.example/",
    ],
)
def test_no_spelling_leads_elsewhere(url: str) -> None:
    with pytest.raises(Problem) as refused:
        check_return_url(DEPS, url)
    assert refused.value.code == "return_url_not_allowed"
