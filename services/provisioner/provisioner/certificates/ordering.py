"""One order at an ACME server, from the checks before it to the chain: whatever was written down is gone on with.

Written before the call that follows: the account's key, the order's key and URL, each challenge. So whoever comes after
a crash continues that order, and what it issues is one certificate.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from keyturn.errors import Wait
from keyturn.events.sealed import Sealed
from keyturn.work import Work
from provisioner.certificates.records import Certificate
from provisioner.repository import certificates
from provisioner.resources import acme_client
from provisioner.resources.acme_challenges import Answer, account_of
from provisioner.resources.acme_client import Account, Order, Proof
from provisioner.resources.acme_errors import OrderFailed, OrderGone, RateLimited
from provisioner.resources.dns_asking import NoAnswer
from provisioner.resources.port import DriverError, Transient
from provisioner.resources.tls_caa import forbidden
from provisioner.resources.tls_pairs import NotUsable, checked, new_key, request

if TYPE_CHECKING:
    from provisioner.deps import ProvisionerDeps

MOST_ORDERS, WITHIN = 250, timedelta(hours=3)  # an account may make 300; the rest is for operators
PATIENCE = 20.0  # seconds to ask at short intervals; then the worker does something else meanwhile
AGAIN = timedelta(seconds=5)
OPEN, OVER = frozenset({"pending", "processing"}), frozenset({"valid", "invalid"})


class Forbidden(DriverError):
    """The name's CAA records do not let this server issue: whoever owns the name has to change that."""


@dataclass
class Ordering:
    """`installs`: some of those that use it, in whose zones its challenges may stand."""

    work: Work
    deps: "ProvisionerDeps"
    id: UUID
    installs: Sequence[UUID]

    async def run(self, certificate: Certificate) -> None:
        """Raises `DriverError`, `OrderFailed`, and `Wait` where it is gone on with later."""
        account = self.deps.tls.authority.account(await self._account_key())
        order = await self._order(account, certificate)
        if order.status == "pending":
            await self._prove(account, certificate, order)
            order = await self._until(account, order, OPEN - {"processing"})
        if order.status == "ready":
            order = await account.finalize(order, request(await self._order_key(), certificate.names))
        order = await self._until(account, order, OPEN | {"ready"})
        if order.status != "valid":
            await self._proofs(account, certificate, order)  # which name it was
            raise OrderFailed(acme_client.why(order))
        await self._keep(await account.certificate(order))

    async def _account_key(self) -> str:
        """Ours at this server, made once."""
        directory = self.deps.tls.authority.directory
        async with self.work.transaction("account") as tx:
            if await certificates.account(tx, directory) is None:
                sealed = self.deps.keys.seal(new_key(), place=account_place(directory))
                await certificates.keep_account(tx, directory, sealed.ciphertext)
            found = await certificates.account(tx, directory)
        assert found
        return self.deps.keys.open(Sealed(found), place=account_place(directory))

    async def _order(self, account: Account, certificate: Certificate) -> Order:
        if certificate.order_url:
            try:
                return await account.find(certificate.order_url)
            except OrderGone:
                await self._forget()
        await self._check(account, certificate)
        order = await account.order(certificate.names)
        async with self.work.transaction("ordered") as tx:
            if found := await certificates.locked(tx, self.id):
                sealed = self.deps.keys.seal(new_key(), place=place(self.id, "order_key"))
                found.ordered(sealed.ciphertext, order.url, tx.now)
        return order

    async def _check(self, account: Account, certificate: Certificate) -> None:
        """Before an order: whether it may succeed, and whether the account has not had its share."""
        async with self.work.transaction("checked") as tx:
            ordered = await certificates.ordered_since(tx, tx.now - WITHIN, MOST_ORDERS)
        if ordered >= MOST_ORDERS:
            raise RateLimited(f"{MOST_ORDERS} orders in three hours: this one waits", retry_after=timedelta(minutes=15))
        identities = self.deps.settings.acme_caa_identities or await account.identities()
        for name in certificate.names:
            try:
                if why := await forbidden(self.deps.tls.asking, name, identities):
                    raise Forbidden(why)
            except NoAnswer as error:
                raise Transient(str(error)) from None

    async def _prove(self, account: Account, certificate: Certificate, order: Order) -> None:
        proofs = await self._proofs(account, certificate, order)
        assert certificate.challenge != "given"
        accounts = frozenset(map(account_of, self.installs))
        answers = await self.deps.tls.answers.of(certificate.challenge, proofs, accounts)
        async with self.work.transaction("challenged") as tx:
            free = [await certificates.stand(tx, self.id, answer) for answer in sorted(answers, key=_place)]
        if not all(free):
            raise Transient("another certificate is being proven for this name", retry_after=AGAIN)
        await self.deps.tls.answers.put(self.id, answers)
        for proof in proofs:
            if proof.pending:
                await account.answer(proof)

    async def _proofs(self, account: Account, certificate: Certificate, order: Order) -> list[Proof]:
        assert certificate.challenge != "given"
        return await account.proofs(order, certificate.challenge)

    async def _until(self, account: Account, order: Order, waiting: frozenset[str]) -> Order:
        """Until its state is another."""
        deadline, pause = asyncio.get_running_loop().time() + PATIENCE, 0.05
        while order.status in waiting:
            if asyncio.get_running_loop().time() > deadline:
                until = self.deps.clock.now() + AGAIN
                raise Wait("not_ready", f"the ACME server has the order {order.status}", until=until)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 1.0)
            order = await account.find(order.url)
        return order

    async def _order_key(self) -> str:
        async with self.work.transaction("key") as tx:
            found = await certificates.get(tx, self.id)
        assert found
        assert found.order_key
        return self.deps.keys.open(Sealed(found.order_key), place=place(self.id, "order_key"))

    async def _keep(self, chain: str) -> None:
        key = await self._order_key()
        async with self.work.transaction("issued") as tx:
            found = await certificates.locked(tx, self.id)
            assert found
            try:
                facts = checked(chain, key, found.names)
            except NotUsable as error:
                raise OrderFailed(f"what the ACME server issued cannot be used: {error}") from None
            sealed = self.deps.keys.seal(key, place=place(self.id, "key"))
            found.issued(sealed.ciphertext, chain, facts, datetime.now(UTC), tx.now)

    async def _forget(self) -> None:
        async with self.work.transaction("forgotten") as tx:
            if found := await certificates.locked(tx, self.id):
                found.forget_order()


def place(certificate_id: UUID, column: str) -> tuple[str, ...]:
    return ("certificates", str(certificate_id), column)


def account_place(directory: str) -> tuple[str, ...]:
    return ("acme_accounts", directory, "key")


def _place(answer: Answer) -> str:
    return answer.place
