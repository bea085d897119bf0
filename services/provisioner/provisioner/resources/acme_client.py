"""An ACME server (RFC 8555), asked through certbot's `acme`, which blocks: each call in a thread.

Knows no database and no challenge's way into the world. Raises `DriverError`s, and `OrderGone`, `OrderFailed`.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import requests
from acme import challenges, client, errors, messages
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from josepy.errors import Error as JoseError
from josepy.jwk import JWK, JWKEC

from provisioner.resources.acme_errors import OrderFailed, OrderGone, meaning, plain
from provisioner.resources.acme_network import Network
from provisioner.resources.port import NeedsOperator, Permanent, Transient

Challenge = Literal["http-01", "dns-01"]
R = TypeVar("R")
NONCES = 10  # a server may reject good ones; certbot's client asks once more, and no further


@dataclass(frozen=True)
class Proof:
    """What the server wants to see of a name, and what to tell it then."""

    name: str
    token: str
    authorization: str  # what a file holds: token and thumbprint
    digest: str  # what a TXT record holds
    answer: Callable[[], object]
    pending: bool


@dataclass(frozen=True)
class Order:
    status: str
    url: str
    authorizations: Sequence[str]
    body: Any


@dataclass(frozen=True)
class Authority:
    """Which server, and who we are there. `ca_file`: by which its HTTPS is trusted, instead of the usual ones."""

    directory: str
    email: str = ""
    ca_file: Path | None = None

    def account(self, key: str) -> "Account":
        if not self.directory:
            raise NeedsOperator("there is no ACME server: ACME_DIRECTORY is not set")
        return Account(self, key)

    async def renewal_time(self, chain: str) -> datetime | None:
        """When the server would like a certificate to be renewed; None where it has no opinion."""

        def ask() -> datetime | None:
            network = Network(None, self.ca_file)
            try:
                found = client.ClientV2(client.ClientV2.get_directory(self.directory, network), network)
                return found.renewal_time(chain.encode())[0]
            except (errors.Error, messages.Error, requests.RequestException, JoseError, ValueError) as error:
                raise Transient(f"the ACME server gave no usable answer: {type(error).__name__}") from None

        return await asyncio.to_thread(ask)


class Account:
    """One account, by its private key (PEM). It serves one run of work: one thread at a time."""

    def __init__(self, authority: Authority, key: str) -> None:
        loaded = serialization.load_pem_private_key(key.encode(), None)
        self._key = JWKEC(key=loaded)
        self._authority = authority
        self._network = Network(self._key, authority.ca_file)
        self._found: client.ClientV2 | None = None

    async def order(self, names: Sequence[str]) -> Order:
        """A new one. It is continued by its URL, which must be kept before anything else is asked."""
        return await self._call(lambda found: _new_order(found, names))

    async def find(self, url: str) -> Order:
        """Raises `OrderGone`."""
        return await self._call(lambda found: _order(found, url), lost=url)

    async def proofs(self, order: Order, kind: Challenge) -> list[Proof]:
        """What is still to be shown. Raises `OrderFailed`."""
        return await self._call(
            lambda found: [p for url in order.authorizations for p in self._proof(found, url, kind)]
        )

    async def answer(self, proof: Proof) -> None:
        await self._call(lambda _: proof.answer())

    async def finalize(self, order: Order, csr: bytes) -> Order:
        def ask(found: client.ClientV2) -> Order:
            wrapped = messages.CertificateRequest(csr=x509.load_pem_x509_csr(csr))
            found._post(order.body.finalize, wrapped)  # noqa: SLF001 - the library's own way also waits
            return _order(found, order.url)

        return await self._call(ask)

    async def certificate(self, order: Order) -> str:
        """The chain, as PEM."""
        return await self._call(lambda found: str(found._post_as_get(order.body.certificate).text))  # noqa: SLF001

    async def identities(self) -> tuple[str, ...]:
        """The names by which CAA records allow this server."""

        def ask(found: client.ClientV2) -> tuple[str, ...]:
            meta = getattr(found.directory, "meta", None)
            return tuple(getattr(meta, "caa_identities", None) or ())

        return await self._call(ask)

    async def _call(self, ask: Callable[[client.ClientV2], R], lost: str | None = None) -> R:
        return await asyncio.to_thread(self._ask, ask, lost)

    def _ask(self, ask: Callable[[client.ClientV2], R], lost: str | None) -> R:
        for _ in range(NONCES):
            try:
                self._found = self._found or self._registered()
                return ask(self._found)
            except messages.Error as error:
                if error.code == "badNonce":
                    continue
                if lost and self._network.status == 404:
                    raise OrderGone(lost) from None
                raise meaning(error, self._network.status, self._network.retry_after) from None
            except errors.ValidationError:
                raise OrderFailed("it was not proven that the name is ours") from None
            except (errors.Error, requests.RequestException, JoseError, ValueError) as error:
                if lost and self._network.status == 404:
                    raise OrderGone(lost) from None
                after = self._network.retry_after
                raise Transient(
                    f"the ACME server gave no usable answer: {type(error).__name__}", retry_after=after
                ) from None
        raise Transient("the ACME server takes none of its own nonces")

    def _registered(self) -> client.ClientV2:
        """Asking for an account with a key that has one gives that one."""
        directory = client.ClientV2.get_directory(self._authority.directory, self._network)
        found = client.ClientV2(directory, self._network)
        if found.external_account_required():
            raise NeedsOperator("this ACME server wants accounts that were made elsewhere, which is not supported")
        email = self._authority.email or None
        wanted = messages.NewRegistration.from_data(email=email, terms_of_service_agreed=True)
        try:
            found.new_account(wanted)
        except errors.ConflictError as known:
            self._network.account = messages.RegistrationResource(body=messages.Registration(), uri=known.location)
        return found

    def _proof(self, found: client.ClientV2, url: str, kind: Challenge) -> list[Proof]:
        answer = found._post_as_get(url)  # noqa: SLF001
        body = messages.Authorization.from_json(answer.json())
        if body.status == messages.STATUS_VALID:
            return []
        if body.status != messages.STATUS_PENDING:
            raise OrderFailed(_why(body))
        offered = {one.chall.typ: one for one in body.challenges}
        if kind not in offered:
            raise Permanent(f"the ACME server offers no {kind} for {body.identifier.value}")
        challenge = offered[kind]
        response, _ = challenge.response_and_validation(self._key)
        return [
            Proof(
                name=str(body.identifier.value),
                token=challenge.chall.encode("token"),
                authorization=str(response.key_authorization),
                digest=_digest(challenge.chall, self._key),
                answer=lambda: found.answer_challenge(challenge, response),
                pending=challenge.status == messages.STATUS_PENDING,
            )
        ]


def _new_order(found: client.ClientV2, names: Sequence[str]) -> Order:
    identifiers = [messages.Identifier(typ=messages.IDENTIFIER_FQDN, value=name) for name in names]
    answer = found._post(found.directory["newOrder"], messages.NewOrder(identifiers=identifiers, profile=""))  # noqa: SLF001 - without asking for more at once
    return _read(answer, answer.headers["Location"])


def _order(found: client.ClientV2, url: str) -> Order:
    return _read(found._post_as_get(url), url)  # noqa: SLF001


def _read(answer: requests.Response, url: str) -> Order:
    body = messages.Order.from_json(answer.json())
    return Order(str(body.status.name), url, tuple(body.authorizations), body)


def _digest(challenge: Any, key: JWK) -> str:
    return str(challenge.validation(key)) if isinstance(challenge, challenges.DNS01) else ""


def _why(body: Any) -> str:
    said = [one.error.detail for one in body.challenges if one.error is not None]
    return plain(f"{body.identifier.value}: {said[0] if said else body.status.name}")


def why(order: Order) -> str:
    """What the server says of an order that failed."""
    error = order.body.error
    return plain(error.detail or error.typ) if error is not None else "without a reason"
