"""Who asks: X-Forwarded-For is believed only as far as our own proxies vouch for it."""

from ipaddress import ip_network
from typing import Any

import pytest

from gateway import clients

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def scope(peer: str | None, *forwarded: str) -> dict[str, Any]:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return {"client": (peer, 1) if peer else None, "headers": headers}


@pytest.mark.parametrize(
    ("asked", "address"),
    [
        (scope("203.0.113.9"), "203.0.113.9"),
        (scope("203.0.113.9", "198.51.100.1"), "203.0.113.9"),
        (scope("10.1.2.3", "198.51.100.1"), "198.51.100.1"),
        (scope("10.1.2.3", "192.0.2.7, 198.51.100.1"), "198.51.100.1"),
        (scope("10.1.2.3", "192.0.2.7", "198.51.100.1, 10.9.9.9"), "198.51.100.1"),
        (scope("10.1.2.3", "198.51.100.1:4711"), "198.51.100.1"),
        (scope("10.1.2.3", "[2001:db8::1]:4711"), "2001:db8::/64"),
        (scope("10.1.2.3", "rubbish"), "10.1.2.3"),
        (scope("10.1.2.3", "é"), "10.1.2.3"),
        (scope("10.1.2.3"), "10.1.2.3"),
        (scope("::ffff:10.1.2.3", "198.51.100.1"), "198.51.100.1"),
        (scope("2001:db8:0:7:1:2:3:4"), "2001:db8:0:7::/64"),
        (scope(None), "unknown"),
        (scope("testclient"), "unknown"),
    ],
)
def test_the_nearest_address_that_is_no_proxy_of_ours_counts(asked: dict[str, Any], address: str) -> None:
    assert clients.address(asked, PROXIES) == address


def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert clients.address(scope("10.1.2.3", "198.51.100.1"), ()) == "10.1.2.3"
