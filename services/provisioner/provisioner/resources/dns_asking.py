"""Questions over DNS: to servers that were named, or to those of this machine."""

from collections.abc import Sequence
from dataclasses import dataclass

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver

TIMEOUT = 3.0


class NoAnswer(Exception):
    """No server answered, or it would not."""


@dataclass(frozen=True)
class Asking:
    """`servers`: (address, port), asked in order until one answers; none: those of this machine."""

    servers: Sequence[tuple[str, int]] = ()

    async def ask(self, name: str, kind: str) -> frozenset[str]:
        """The values of a name and type, as they stand in a zone; none where there are none. Raises `NoAnswer`."""
        query = dns.message.make_query(dns.name.from_text(f"{name}."), kind, use_edns=True)
        for address, port in self.servers or _of_this_machine():
            try:
                answer, _ = await dns.asyncquery.udp_with_fallback(query, address, timeout=TIMEOUT, port=port)
            except (TimeoutError, dns.exception.DNSException, OSError):
                continue
            if answer.rcode() in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
                return _values(answer, kind)
        raise NoAnswer(f"no DNS server answers what {name} is")


def _values(answer: dns.message.Message, kind: str) -> frozenset[str]:
    """Also of the name that an alias leads to."""
    wanted = dns.rdatatype.from_text(kind)
    return frozenset(one.to_text() for found in answer.answer if found.rdtype == wanted for one in found)


def _of_this_machine() -> list[tuple[str, int]]:
    try:
        return [(str(address), 53) for address in dns.resolver.Resolver().nameservers]
    except dns.resolver.NoResolverConfiguration:
        return []
