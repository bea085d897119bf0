"""Requests to addresses that customers name: only to public ones, and to the very address that was checked."""

import asyncio
import ipaddress
import socket

import httpx

NAT64 = ipaddress.ip_network("64:ff9b::/96")


class PrivateAddress(Exception):
    """At least one address of the host is not a public one, or it has none."""


async def pinned(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Request:
    """The request, going to an address that was looked up and checked here, so that a second look-up cannot differ."""
    host = request.url.host
    port = request.url.port or (443 if request.url.scheme == "https" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise httpx.ConnectError("the host has no address") from None
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if not addresses or not all(_public(address) for address in addresses):
        raise PrivateAddress
    return client.build_request(
        request.method,
        request.url.copy_with(host=str(addresses[0])),
        headers={**request.headers, "host": request.headers["host"]},
        content=request.content,
        extensions={**request.extensions, "sni_hostname": host},
    )


def _public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if address in NAT64:
        return False  # stands for an IPv4 address, which may be private
    mapped = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    return address.is_global and not address.is_multicast and (mapped is None or _public(mapped))
