"""What an ACME server's errors mean."""

from datetime import timedelta

from acme import messages

from provisioner.resources.port import DriverError, NeedsOperator, Permanent, Transient

OPERATORS = frozenset(
    {"unauthorized", "accountDoesNotExist", "externalAccountRequired", "userActionRequired", "invalidContact",
     "unsupportedContact", "badPublicKey", "badSignatureAlgorithm"}
)  # fmt: skip


class OrderGone(Exception):
    """The server knows no such order any more: a new one is to be made."""


class OrderFailed(Exception):
    """The server could not convince itself, or would not issue. The order cannot be revived."""


class RateLimited(Transient):
    """The account, or the name, has had its share for now."""


def meaning(error: messages.Error, status: int, retry_after: timedelta | None) -> DriverError:
    code, said = error.code or "", plain(error.detail or error.title or error.typ)
    if code == "rateLimited" or status == 429:
        return RateLimited(f"the ACME server's limit: {said}", retry_after=retry_after)
    if status >= 500 or code in {"serverInternal", "orderNotReady", "badNonce"}:
        return Transient(f"the ACME server: {said}", retry_after=retry_after)
    if code in OPERATORS:
        return NeedsOperator(f"the ACME server refuses our account: {said}")
    return Permanent(f"the ACME server refuses it ({code}): {said}")


def plain(said: object) -> str:
    return "".join(char if char.isprintable() else " " for char in str(said)[:300])
