"""`tls.certificate`: a certificate for some names, ordered from an ACME server, or the operator's own pair.

The order is work of its own (`provisioner.certificates`), which also renews it: here it is wished for and waited for.
Where it lies never changes, so whoever reads it there has the newest.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator

from provisioner.resources.dns_names import CertificateName, is_below
from provisioner.resources.port import (
    Capacity,
    DriverError,
    Given,
    Gone,
    Health,
    NeedsCustomer,
    NeedsOperator,
    Notes,
    NotReady,
    Outputs,
    Pace,
    Parameters,
    Permanent,
    Resource,
)
from provisioner.resources.tls_pairs import LONGEST_PEM, Facts, Files, NotUsable, checked

if TYPE_CHECKING:
    from keyturn.database import Transaction

Owner = tuple[UUID, str]  # an install's resource
SOON, SELDOM = timedelta(seconds=2), timedelta(minutes=1)  # somebody may have it renewed before its time


@dataclass(frozen=True)
class Wish:
    """`facts`: of a pair that is the operator's own, which lies at `given`. `again`: somebody has acted."""

    names: tuple[str, ...]
    challenge: Literal["http-01", "dns-01", "given"]
    again: bool = False
    given: str | None = None
    facts: Facts | None = None


@dataclass(frozen=True)
class Standing:
    """How it is with a certificate. `serial`: of the one that is there. `failures` tells one trouble from the next."""

    id: UUID
    serial: str | None
    trouble: str | None
    message: str
    failures: int
    again_in: timedelta


@dataclass(frozen=True)
class Tls:
    """`use` and `release` write in the database, under the fence of whoever calls the driver. `base_domain`: what is
    not below it is a customer's."""

    base_domain: str
    files: Files
    use: "Callable[[Transaction, Owner, Wish], Awaitable[Standing]]"
    release: "Callable[[Transaction, Owner], Awaitable[bool]]"


def _a_path(text: str) -> str:
    if not Path(text).is_absolute() or "\0" in text:
        raise ValueError("is no absolute path")
    return text


FilePath = Annotated[str, AfterValidator(_a_path)]


class CertificateParameters(Parameters):
    """`certificate` and `key`: a pair that is there already, instead of an order."""

    names: list[CertificateName] = Field(min_length=1, max_length=100)
    challenge: Literal["http-01", "dns-01"] = "http-01"
    certificate: FilePath | None = None
    key: FilePath | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.certificate is None) is not (self.key is None):
            raise ValueError("certificate and key stand together")
        if self.certificate is None and self.challenge == "http-01" and any(n.startswith("*.") for n in self.names):
            raise ValueError("a wildcard is proven by dns-01 alone")
        return self


class Certificate(Resource[CertificateParameters]):
    Parameters = CertificateParameters
    outputs = frozenset({"fullchain", "key"})
    pace: ClassVar[Pace] = Pace(together=50)
    patience = timedelta(days=1)

    def __init__(self, given: Given[CertificateParameters], tools: Tls) -> None:
        super().__init__(given, tools)
        self._tools = tools

    async def ensure(self, notes: Notes) -> Outputs:
        if self.parameters.certificate is not None:
            return await self._given(notes)
        standing = await self._wish(notes)
        if standing.trouble in TROUBLES and standing.serial is None:
            if notes.get("told") != standing.failures:
                await notes.save(told=standing.failures)
                raise self._trouble(standing)
            standing = await self._wish(notes, again=True)
        if standing.serial is not None:
            if await asyncio.to_thread(self._tools.files.has, standing.id, standing.serial):
                await notes.save(certificate=str(standing.id), told=None, going=None)
                return self._outputs(standing.id)
            await self._wish(notes, again=True)  # this machine has lost it: it is written anew
        if standing.trouble == "capacity":
            raise Capacity(standing.message)
        after = min(max(standing.again_in, SOON), SELDOM)
        raise NotReady(standing.message or "the certificate is being ordered", after=after)

    async def probe(self, notes: Notes) -> Health:
        if self.parameters.certificate is not None:
            await asyncio.to_thread(self._read)
            return Health(ok=True)
        there = bool(notes.get("certificate")) and self._tools.files.key(UUID(notes.get("certificate"))).is_file()
        return Health(ok=there, detail="" if there else "the certificate's files are not there")

    async def destroy(self, notes: Notes) -> Gone:
        if not await notes.keep(self._tools.release):
            await notes.save(going=True)
            raise NotReady("the certificate is being removed", after=SOON)
        return "deleted" if notes.get("going") else "not_found"

    def _outputs(self, certificate: UUID) -> Outputs:
        files = self._tools.files
        return {"fullchain": str(files.chain(certificate)), "key": str(files.key(certificate))}

    async def _wish(self, notes: Notes, *, again: bool = False) -> Standing:
        wish = Wish(tuple(sorted(set(self.parameters.names))), self.parameters.challenge, again)
        return await notes.keep(partial(_use, self._tools, wish))

    async def _given(self, notes: Notes) -> Outputs:
        facts = await asyncio.to_thread(self._read)
        assert self.parameters.certificate
        assert self.parameters.key
        names = tuple(sorted(set(self.parameters.names)))
        wish = Wish(names, "given", given=self.parameters.certificate, facts=facts)
        await notes.keep(partial(_use, self._tools, wish))
        return {"fullchain": self.parameters.certificate, "key": self.parameters.key}

    def _read(self) -> Facts:
        """Raises what is wrong with the operator's own pair."""
        parameters = self.parameters
        if {"certificate", "key"} & self.given.customer_named:
            raise Permanent("a customer's own words are no path")
        assert parameters.certificate
        assert parameters.key
        try:
            chain, key = (_text(Path(path)) for path in (parameters.certificate, parameters.key))
            return checked(chain, key, parameters.names)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise NeedsOperator(f"{parameters.certificate} or its key cannot be read: {reason}") from None
        except NotUsable as error:
            raise NeedsOperator(f"{parameters.certificate}: {error}") from None

    def _trouble(self, standing: Standing) -> DriverError:
        if standing.trouble == "permanent":
            return Permanent(standing.message)
        ours = all(is_below(name, self._tools.base_domain) for name in self.parameters.names)
        if standing.trouble == "owner" and not ours:
            return NeedsCustomer(standing.message)
        return NeedsOperator(standing.message)


TROUBLES = frozenset({"operator", "owner", "permanent"})


async def _use(tools: Tls, wish: Wish, tx: "Transaction", owner: Owner) -> Standing:
    return await tools.use(tx, owner, wish)


def _text(file: Path) -> str:
    with file.open() as opened:
        return opened.read(LONGEST_PEM)
