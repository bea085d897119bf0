"""How a challenge's answer gets into the world, and out of it again: a file for a web server, or a TXT record.

Whatever is put is written down before (`provisioner.certificates`), so that it is found and removed after any end.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from provisioner.resources.acme_client import Challenge, Proof
from provisioner.resources.dns import Dns
from provisioner.resources.dns_asking import NoAnswer
from provisioner.resources.dns_names import content
from provisioner.resources.dns_powerdns import Owner, RecordSet
from provisioner.resources.port import NeedsOperator, Permanent, Transient

LABEL = "_acme-challenge"
TTL = 60
SEEN_WITHIN = 10.0  # seconds: then the DNS server is left to itself for a while
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,200}")


@dataclass(frozen=True)
class Answer:
    """`place`: the name of the record, or of the file. `zone`: of the record."""

    kind: Challenge
    place: str
    values: tuple[str, ...] = field(repr=False)
    zone: str = ""


@dataclass(frozen=True)
class Answers:
    """`folder`: what a web server hands out below `/.well-known/acme-challenge/` of every host."""

    folder: Path
    dns: Dns

    async def of(self, kind: Challenge, proofs: Sequence[Proof], accounts: frozenset[str]) -> list[Answer]:
        """What is to be put. `accounts`: the owners in whose zones it may be, besides those of the operator's."""
        if kind == "http-01":
            return [Answer(kind, _token(proof.token), (proof.authorization,)) for proof in proofs]
        values: dict[str, list[str]] = {}
        for proof in proofs:  # a domain and its wildcard are proven at one name, by two values side by side
            values.setdefault(f"{LABEL}.{proof.name}", []).append(proof.digest)
        return [Answer(kind, name, tuple(one), await self._zone(name, accounts)) for name, one in values.items()]

    async def put(self, certificate: UUID, answers: Sequence[Answer]) -> None:
        for answer in answers:
            if answer.kind == "http-01":
                await asyncio.to_thread(self._write, answer)
            else:
                await self._publish(_owner(certificate), answer)

    async def remove(self, certificate: UUID, answer: Answer) -> None:
        """Not being there is success."""
        if answer.kind == "http-01":
            (self.folder / _token(answer.place)).unlink(missing_ok=True)
            return
        owner = _owner(certificate)
        found = (await self.dns.server.sets(answer.zone, answer.place)).get("TXT")
        if found and owner.has(found):
            await self.dns.server.write(answer.zone, [], owner, [found.key])

    async def _zone(self, name: str, accounts: frozenset[str]) -> str:
        """The zone of ours that holds the name: the longest there is."""
        labels = name.split(".")[1:]
        for zone in (".".join(labels[at:]) for at in range(len(labels) - 1)):
            account = await self.dns.server.account(zone)
            if account is not None:
                if account.startswith("keyturn:") and account not in accounts:
                    raise Permanent(f"the zone {zone} is another install's")
                return zone
        raise NeedsOperator(f"the DNS server has no zone for {name.partition('.')[2]}")

    async def _publish(self, owner: Owner, answer: Answer) -> None:
        found = (await self.dns.server.sets(answer.zone, answer.place)).get("TXT")
        if found and not owner.has(found):
            raise Permanent(f"the TXT record {answer.place} is somebody else's, and is left as it is")
        wanted = RecordSet(answer.place, "TXT", TTL, frozenset(content("TXT", value) for value in answer.values))
        if found is None or not found.same_as(wanted):
            await self.dns.server.write(answer.zone, [wanted], owner)
        await self._seen(wanted)

    async def _seen(self, wanted: RecordSet) -> None:
        """Asked of the server itself: an ACME server that comes too early counts it as a failure."""
        deadline = asyncio.get_running_loop().time() + SEEN_WITHIN
        while asyncio.get_running_loop().time() < deadline:
            try:
                if await self.dns.authority.ask(wanted.name, "TXT") == wanted.contents:
                    return
            except NoAnswer:
                pass
            await asyncio.sleep(0.1)
        raise Transient(f"the DNS server does not say the TXT record {wanted.name} yet")

    def _write(self, answer: Answer) -> None:
        """Whole or not at all, and for a web server of another user to read."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o755)
            fresh = self.folder / f".{answer.place}"
            fresh.write_text(answer.values[0])
            fresh.chmod(0o644)
            fresh.replace(self.folder / answer.place)
        except OSError as error:
            raise NeedsOperator(f"the folder for ACME challenges cannot be written: {error.strerror}") from None


def _owner(certificate: UUID) -> Owner:
    return Owner(f"keyturn:{certificate.hex}", f"certificate/{certificate}")


def _token(text: str) -> str:
    """It becomes a file's name, and comes from outside."""
    if not _TOKEN.fullmatch(text):
        raise Permanent("the ACME server's token is none")
    return text


def account_of(install: UUID) -> str:
    return f"keyturn:{install.hex}"
