"""What the work of certificates is given: the ACME server, the ways to prove a name, and where certificates lie."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from provisioner.resources.acme_challenges import Answers
from provisioner.resources.acme_client import Authority
from provisioner.resources.dns_asking import Asking
from provisioner.resources.tls_pairs import Files


async def _nobody(_: Path) -> None:
    """A web server that reads a certificate when somebody asks for its name needs no telling."""


@dataclass(frozen=True)
class CertificateTools:
    """`asking`: about CAA records. `reload`: called with the folder of what is new there; may be called again."""

    authority: Authority
    answers: Answers
    asking: Asking
    files: Files
    reload: Callable[[Path], Awaitable[None]] = _nobody

    async def install(self, certificate: UUID, serial: str, chain: str, key: str) -> None:
        """Raises OSError."""
        if not await asyncio.to_thread(self.files.has, certificate, serial):
            await asyncio.to_thread(self.files.write, certificate, serial, chain, key)
        await self.reload(self.files.chain(certificate).parent)

    async def uninstall(self, certificate: UUID) -> None:
        await asyncio.to_thread(self.files.remove, certificate)
