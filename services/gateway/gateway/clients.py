"""Who asks: the client's address behind our own proxies, and the page that it asks from."""

from collections.abc import Container, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from starlette.requests import Request
from starlette.types import Scope

from gateway.settings import Network

Address = IPv4Address | IPv6Address

UNKNOWN = "unknown"


def address(scope: Scope, trusted: Sequence[Network]) -> str:
    """The nearest address that is not one of our proxies. X-Forwarded-For is read from its end, since each proxy
    appends whom it saw: what stands further left may be anybody's invention."""
    peer = _parse(scope["client"][0]) if scope.get("client") else None
    if peer is None:
        return UNKNOWN
    for hop in reversed(_forwarded(scope)):
        if not _is_trusted(peer, trusted):
            break
        if (before := _parse(hop)) is None:
            break
        peer = before
    return _bucket(peer)


def comes_from(request: Request, allowed: Container[str]) -> bool:
    """Browsers say where a form or script stood; what says nothing is no browser, and has no cookie to abuse."""
    came_from = request.headers.get("origin")
    if came_from in (
        None,
        "null",
    ):  # `null`: our own no-referrer policy, or a sandboxed frame, which Sec-Fetch-Site tells
        return request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
    return came_from in allowed


def _forwarded(scope: Scope) -> list[str]:
    values = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return [part.strip() for part in b",".join(values).decode("latin-1").split(",") if part.strip()]


def _parse(text: str) -> Address | None:
    """An address, also as some proxies write it: with a port, or IPv6 in brackets."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _is_trusted(peer: Address, trusted: Sequence[Network]) -> bool:
    return any(peer in network for network in trusted)


def _bucket(peer: Address) -> str:
    """One person holds a whole /64 of IPv6: the network is the client there."""
    return str(IPv6Network((peer, 64), strict=False)) if isinstance(peer, IPv6Address) else str(peer)
