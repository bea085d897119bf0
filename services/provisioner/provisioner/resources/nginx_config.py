"""nginx's configuration, made from the sites: the same bytes from the same sites, whoever writes it and when.

One server for all: maps lead from the host name to where its requests go. A block for each site would cost a TLS
context each, and a reload with 3,000 of them three seconds. The wildcard's certificate is loaded with the
configuration, so nginx keeps it whatever becomes of the file. A site's own is named by a variable, and loaded when
somebody asks for its host: a renewed one needs no reload, and one that is missing or broken stops nobody else.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.resources.nginx_sites import Site, a_path
from provisioner.resources.nginx_text import HTTP, PLAIN, PROCESS, SERVER

TOLD_AT = "/.well-known/keyturn"  # to this machine: the version that is served, and the mark of the host
USUAL_SIZE = "25m"

_LISTEN = re.compile(r"(?:([0-9.]{7,15}|\[[0-9a-f:.]+\]):)?([1-9][0-9]{0,4})")
_VERSION = re.compile(r"^# version ([0-9a-f]{64})$", re.MULTILINE)
_UNSET = "0" * 64
_USUAL = (USUAL_SIZE, False)
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - what is listened on, not by us


@dataclass(frozen=True)
class Layout:
    """How nginx stands on this machine. `challenges`: the folder with answers to ACME servers' HTTP-01 questions.
    `https`, `http`: what it listens on; `public_port`: where the world reaches https. `certificate`: the wildcard's.
    `bucket`: room for one name in nginx's tables."""

    folder: Path
    challenges: Path
    https: Sequence[str]
    http: Sequence[str]
    certificate: str
    certificate_key: str
    public_port: int = 443
    bucket: int = 512

    @property
    def port(self) -> str:
        """As it stands in an address."""
        return "" if self.public_port == 443 else f":{self.public_port}"

    @property
    def reached_at(self) -> str:
        """Where https is reached from this machine."""
        host, port = listens(self.https[0])
        return f"{_EVERYWHERE.get(host, host)}:{port}"


def listens(text: str) -> tuple[str, int]:
    """Address (or none) and port. Raises ValueError."""
    found = _LISTEN.fullmatch(text)
    if not found or int(found[2]) > 65535:
        raise ValueError(f"{text!r} is not what nginx can listen on: 443, 127.0.0.1:8443, [::]:443")
    return found[1] or "", int(found[2])


def version_of(text: str) -> str:
    """By which a running nginx tells that it has this configuration; empty where it is none of ours."""
    found = _VERSION.search(text)
    return found[1] if found else ""


@dataclass(frozen=True)
class Around:
    """What else decides what is written: nginx's version, and what the wildcard's certificate holds."""

    nginx: tuple[int, ...]
    certificate: bytes


def render(layout: Layout, sites: Sequence[Site], around: Around) -> str:
    """Raises ValueError for what may not stand there."""
    for site in sites:
        site.check()
    ordered = sorted(sites, key=lambda site: site.hostname)
    text = "\n".join(_lines(layout, ordered, around)) + "\n"
    return text.replace(_UNSET, hashlib.sha256(text.encode()).hexdigest())


def _lines(layout: Layout, sites: Sequence[Site], around: Around) -> Iterator[str]:
    yield "# Written by Keyturn from its database; changes are lost. `keyturn nginx regenerate` writes it anew."
    yield f"# version {_UNSET}"
    yield f"# certificate {hashlib.sha256(around.certificate).hexdigest()}"
    yield PROCESS
    yield "http {"
    yield HTTP.replace("BUCKET", str(layout.bucket))
    for site in sites:
        yield f"upstream {_upstream(site)} {{ server {site.upstream}; keepalive 4; }}"
    yield from _map("$host $site", '""', ((site.hostname, _upstream(site)) for site in sites))
    yield from _map("$host $suspended", '""', ((s.hostname, "1") for s in sites if s.state == "suspended"))
    yield from _map("$host $mark", "-", ((site.hostname, site.mark) for site in sites))
    own = [site for site in sites if site.certificate]
    yield from _map("$ssl_server_name $certificate", '""', ((s.hostname, _quoted(s.certificate)) for s in own))
    keys = ((s.hostname, _quoted(s.certificate_key)) for s in own)
    yield from _map("$ssl_server_name $certificate_key", '""', keys)
    yield from _tls(layout, _USUAL, ["_"], around.nginx)
    for group in sorted({_group(site) for site in sites} - {_USUAL}):
        yield from _tls(layout, group, [site.hostname for site in sites if _group(site) == group], around.nginx)
    if layout.http:
        yield from _plain(layout)
    yield "}"


def _group(site: Site) -> tuple[str, bool]:
    """Sites that share a server: nginx takes neither from a variable."""
    return site.body_size, site.certificate is not None


def _upstream(site: Site) -> str:
    return f"s_{site.install_id.hex}_{hashlib.sha256(site.hostname.encode()).hexdigest()[:8]}"


def _map(names: str, default: str, entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield f"map {names} {{"
    yield f"  default {default};"
    for name, value in entries:
        yield f"  {name} {value};"
    yield "}"


def _quoted(path: str | None) -> str:
    return f'"{a_path(path or "")}"'


def _tls(layout: Layout, group: tuple[str, bool], names: Sequence[str], nginx: tuple[int, ...]) -> Iterator[str]:
    separate = nginx >= (1, 25, 1)
    size, own = group
    default = "default_server" if group == _USUAL else ""
    yield "server {"
    for address in layout.https:
        yield " ".join(filter(None, [f"  listen {address} ssl", "" if separate else "http2", default])) + ";"
    if separate:
        yield "  http2 on;"
    yield f"  server_name {names[0]}"
    yield from (f"    {name}" for name in names[1:])
    yield "  ;"
    yield f"  client_max_body_size {size};"
    yield f"  ssl_certificate {'$certificate' if own else _quoted(layout.certificate)};"
    yield f"  ssl_certificate_key {'$certificate_key' if own else _quoted(layout.certificate_key)};"
    yield (
        SERVER.replace("TOLD_AT", TOLD_AT)
        .replace("VERSION", _UNSET)
        .replace("PORT", layout.port)
        .replace("FOLDER", a_path(str(layout.folder)))
    )
    yield "}"


def _plain(layout: Layout) -> Iterator[str]:
    yield "server {"
    for address in layout.http:
        yield f"  listen {address} default_server;"
    yield "  server_name _;"
    yield PLAIN.replace("CHALLENGES", a_path(str(layout.challenges))).replace("PORT", layout.port)
    yield "}"
