"""What the gateway refuses to start with, and whose origin it trusts."""

import base64
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.buckets import Buckets, Limit
from gateway.settings import GatewaySettings, origin

GOOD: dict[str, Any] = {
    "database_url": "postgresql://gateway@db/gateway",
    "session_key": "k" * 40,
    "signing_key": base64.b64encode(bytes(32)).decode(),
}


def made(**changes: Any) -> GatewaySettings:
    return GatewaySettings(_env_file=None, **(GOOD | changes))


@pytest.mark.parametrize(
    "wrong",
    [
        {"session_key": "short"},
        {"session_key": "change-me" * 5},
        {"signing_key": "AAAA"},
        {"allowed_origins": "*"},
        {"allowed_origins": "https://shop.example/path"},
        {"allowed_origins": "shop.example"},
        {"trusted_proxies": "10.0.0.0/99"},
    ],
)
def test_wrong_settings_are_refused_at_the_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        made(**wrong)


def test_secrets_and_lists_are_separated_by_commas() -> None:
    settings = made(stripe_webhook_secret="whsec_a, whsec_b", trusted_proxies="10.0.0.0/8,::1", allowed_origins="")
    assert [secret.get_secret_value() for secret in settings.stripe_webhook_secret] == ["whsec_a", "whsec_b"]
    assert (len(settings.trusted_proxies), settings.allowed_origins) == (2, ())
    assert "whsec_a" not in repr(settings)


def test_the_public_urls_own_origin_is_always_allowed() -> None:
    settings = made(public_url="https://keys.example:443/", allowed_origins="https://shop.example")
    assert settings.origins == {"https://keys.example", "https://shop.example"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Shop.Example/a?b", "https://shop.example"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("https://shop.example@evil.example/", "https://evil.example"),
        ("http://[::1]:80/", "http://[::1]"),
    ],
)
def test_an_origin_is_written_as_browsers_write_it(url: str, expected: str) -> None:
    assert origin(url) == expected


def test_a_bucket_refills_with_time_and_says_how_long_to_wait() -> None:
    now = 0.0
    buckets = Buckets(Limit(burst=2, per_minute=6), seconds=lambda: now)
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 10]
    assert buckets.take("b") == 0
    now = 10.0
    assert [buckets.take("a") for _ in range(2)] == [0, 10]
