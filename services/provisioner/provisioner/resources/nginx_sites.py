"""Sites: a host name and where its requests go. What may stand in one is decided here, by grammars that leave no
character which means anything to nginx; the renderer asks them once more before it writes a byte."""

import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Annotated, Literal, Protocol
from uuid import UUID

from pydantic import AfterValidator

from keyturn.database import Transaction

State = Literal["on", "suspended"]
LONGEST_NAME = 253
LONGEST_PATH = 500

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")  # all digits at the end: an address
_UPSTREAM = re.compile(r"(?:\[([0-9a-f:.]{2,45})\]|([0-9.]{7,15})):([1-9][0-9]{0,4})")
_PATH = re.compile(r"/[A-Za-z0-9._/@+-]+")
_SIZE = re.compile(r"[1-9][0-9]{0,3}[kmg]")


def a_host_name(text: str) -> str:
    """In the one form that stands in the database: lower case, no final dot. Raises ValueError."""
    if len(text) > LONGEST_NAME or not _NAME.fullmatch(text):
        raise ValueError("is no host name: letters, digits and hyphens, in lower case, with dots between")
    return text


def an_upstream(text: str) -> str:
    """Address and port. A name would have to be looked up, and could become another address. Raises ValueError."""
    found = _UPSTREAM.fullmatch(text)
    if not found or int(found[3]) > 65535:
        raise ValueError("is not an IP address and a port, like 127.0.0.1:8080 or [::1]:8080")
    ip_address(found[1] or found[2])
    return text


def a_path(text: str) -> str:
    """Of a file, absolute, with nothing in it that leads elsewhere. Raises ValueError."""
    if len(text) > LONGEST_PATH or not _PATH.fullmatch(text) or str(PurePosixPath(text)) != text or "/../" in text:
        raise ValueError("is no absolute path of letters, digits and . _ - + @")
    return text


def a_size(text: str) -> str:
    """Raises ValueError."""
    if not _SIZE.fullmatch(small := text.lower()):
        raise ValueError("reads like 25M")
    return small


HostName = Annotated[str, AfterValidator(a_host_name)]
Upstream = Annotated[str, AfterValidator(an_upstream)]
CertificatePath = Annotated[str, AfterValidator(a_path)]
Size = Annotated[str, AfterValidator(a_size)]


@dataclass(frozen=True)
class Site:
    """`certificate`, `certificate_key`: None for the wildcard's."""

    hostname: str
    install_id: UUID
    resource: str
    upstream: str
    state: State
    body_size: str
    certificate: str | None = None
    certificate_key: str | None = None

    @property
    def mark(self) -> str:
        """Another whenever anything that nginx knows of the site is another: nginx tells it, to be compared."""
        known = (self.hostname, self.upstream, self.state, self.body_size, self.certificate, self.certificate_key)
        return hashlib.sha256(repr(known).encode()).hexdigest()[:20]

    def check(self) -> None:
        """Whoever wrote the row: nothing else reaches the file. Raises ValueError."""
        a_host_name(self.hostname)
        an_upstream(self.upstream)
        a_size(self.body_size)
        for path in filter(None, (self.certificate, self.certificate_key)):
            a_path(path)


class SiteRows(Protocol):
    """Where sites are kept: one row for each host name. Each changes those of one resource, in the transaction."""

    async def put(self, tx: Transaction, owner: tuple[UUID, str], sites: Sequence[Site]) -> Sequence[Site]:
        """These and no others; those that are there stay suspended if they are. Gives what stood there before. Raises
        `NameConflictError` where a name belongs to somebody else."""

    async def switch(self, tx: Transaction, owner: tuple[UUID, str], state: State) -> None: ...

    async def remove(self, tx: Transaction, owner: tuple[UUID, str]) -> int:
        """Gives how many there were."""


ReadSites = Callable[[], Awaitable[Sequence[Site]]]
