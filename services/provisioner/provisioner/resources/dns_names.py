"""Names and values as DNS takes them. What a customer names passes here before it reaches a path, a query or a record.

A name is kept in one form: A-labels, lower case, no final dot.
"""

import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Literal

import idna
from pydantic import AfterValidator

RecordType = Literal["A", "AAAA", "CNAME", "MX", "TXT"]
LONGEST_NAME = 253
LONGEST_TEXT = 2048

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_LAST = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?")  # all digits would be taken for an address
_MX = re.compile(r"(\d{1,5}) (\S+)")


def a_name(text: str) -> str:
    """A domain in the one form. Raises ValueError, which never repeats what was written."""
    name = text.removesuffix(".") if text != "." else ""
    labels = [_a_label(label) for label in name.split(".")]
    name = ".".join(labels)
    if len(labels) < 2 or len(name) > LONGEST_NAME or not _LAST.fullmatch(labels[-1]):
        raise ValueError("is no domain name")
    return name


def a_record_name(text: str) -> str:
    """The same, or a wildcard: `*.` and a domain."""
    return f"*.{a_name(text[2:])}" if text.startswith("*.") else a_name(text)


def a_host_name(text: str) -> str:
    """A domain that may be asked for over HTTP, and stand in a certificate: no underscore."""
    name = a_name(text)
    if "_" in name:
        raise ValueError("a host name has no underscore")
    return name


def a_certificate_name(text: str) -> str:
    return f"*.{a_host_name(text[2:])}" if text.startswith("*.") else a_host_name(text)


def is_below(name: str, zone: str) -> bool:
    """Whether the name is in the zone, or its apex."""
    return f".{name}".endswith(f".{zone}")


def _a_label(label: str) -> str:
    if label.isascii():
        found = label.lower()
        if not _LABEL.fullmatch(found) or (found[2:4] == "--" and not _says_what_it_is(found)):
            raise ValueError("is no domain name")
        return found
    try:
        found = idna.encode(label, uts46=True, std3_rules=True).decode()
    except (idna.IDNAError, UnicodeError):
        raise ValueError("is no domain name") from None
    if not found.startswith("xn--") or not _LABEL.fullmatch(found):
        raise ValueError("has letters that look like others")  # the sign for kelvin becomes a k, a full-width dot a dot
    return found


def _says_what_it_is(label: str) -> bool:
    """Encoded foreign letters that decode, and to nothing but themselves."""
    try:
        return idna.encode(idna.decode(label)).decode() == label
    except (idna.IDNAError, UnicodeError):
        return False


def content(kind: RecordType, value: str) -> str:
    """The value as the server writes it. Raises ValueError."""
    return _CONTENT[kind](value)


def _address_4(value: str) -> str:
    return str(IPv4Address(value))


def _address_6(value: str) -> str:
    if "%" in value:
        raise ValueError("an address in DNS has no scope")
    return str(IPv6Address(value))


def _canonical(value: str) -> str:
    return f"{a_name(value)}."


def _mail_host(value: str) -> str:
    found = _MX.fullmatch(value)
    if not found or int(found[1]) > 65535:
        raise ValueError("reads like `10 mail.example.com`")
    return f"{int(found[1])} {a_host_name(found[2])}."


def _text(value: str) -> str:
    """Quoted strings of at most 255 bytes; what is not plain is written by its number, so that nothing ends them."""
    octets = value.encode()
    if not octets or len(octets) > LONGEST_TEXT:
        raise ValueError(f"a text has 1 to {LONGEST_TEXT} bytes")
    parts = [octets[at : at + 255] for at in range(0, len(octets), 255)]
    return " ".join(f'"{"".join(map(_octet, part))}"' for part in parts)


def _octet(octet: int) -> str:
    if octet in b'"\\':
        return f"\\{chr(octet)}"
    return chr(octet) if 32 <= octet < 127 else f"\\{octet:03d}"


_CONTENT: Mapping[RecordType, Callable[[str], str]] = {
    "A": _address_4,
    "AAAA": _address_6,
    "CNAME": _canonical,
    "MX": _mail_host,
    "TXT": _text,
}

Domain = Annotated[str, AfterValidator(a_name)]
RecordName = Annotated[str, AfterValidator(a_record_name)]
HostName = Annotated[str, AfterValidator(a_host_name)]
CertificateName = Annotated[str, AfterValidator(a_certificate_name)]
