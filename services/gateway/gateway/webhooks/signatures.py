"""Proof that a webhook comes from the provider: an HMAC over the raw bytes, compared in constant time.

Own code instead of the SDKs: theirs take one secret, accept times in the future (Stripe), take only text and raise
`TypeError` on what an attacker may send (Razorpay).
"""

import hmac
from collections.abc import Iterable, Sequence
from hashlib import sha256

TOLERANCE = 300.0  # seconds, in both directions; each retry of Stripe's is signed anew
_LONGEST_HEADER = 4096  # two secrets in rotation make 180 characters
_LONGEST_STAMP = 12


class SignatureError(ValueError):
    """Base of what is wrong with a signature; `code` is the problem's."""

    code = "signature_invalid"


class SignatureMissing(SignatureError):
    """The request carries no signature."""

    code = "signature_missing"


class SignatureMalformed(SignatureError):
    """The signature header cannot be read."""

    code = "signature_malformed"


class SignatureWrong(SignatureError):
    """No signature in the header fits the body."""

    code = "signature_wrong"


class SignatureStale(SignatureError):
    """The body was signed too long ago, or in the future."""

    code = "signature_stale"


def verify_stripe(body: bytes, header: bytes | None, secrets: Sequence[bytes], now: float) -> int:
    """`t=<unix>,v1=<hex>[,v1=<hex>]`: HMAC of `<t>.<body>`, keyed by the whole secret with its `whsec_`.

    Returns the time at which it was signed, which is looked at last: only a true signature may say that it is stale.
    """
    stamp, offered = _read_stripe(header)
    if not _fits(stamp + b"." + body, offered, secrets):
        raise SignatureWrong("no v1 signature fits the body")
    if abs(now - int(stamp)) > TOLERANCE:
        raise SignatureStale(f"signed more than {TOLERANCE:.0f} seconds from now")
    return int(stamp)


def verify_razorpay(body: bytes, header: bytes | None, secrets: Sequence[bytes]) -> None:
    """Lower-case hex HMAC of the body. Nothing dates it: only the stored event id and effects stop a replay."""
    offered = _present(header).strip()
    if len(offered) != sha256().digest_size * 2:
        raise SignatureMalformed("a signature is 64 hexadecimal digits")
    if not _fits(body, [offered], secrets):
        raise SignatureWrong("the signature does not fit the body")


def _present(header: bytes | None) -> bytes:
    if not header or not header.strip():
        raise SignatureMissing("the signature header is missing")
    if len(header) > _LONGEST_HEADER:
        raise SignatureMalformed("the signature header is too long")
    return header


def _read_stripe(header: bytes | None) -> tuple[bytes, list[bytes]]:
    pairs = [pair.strip().partition(b"=") for pair in _present(header).split(b",")]
    stamps = [value for name, _, value in pairs if name == b"t"]
    offered = [value for name, _, value in pairs if name == b"v1" and value]
    if len(stamps) != 1 or not stamps[0].isdigit() or len(stamps[0]) > _LONGEST_STAMP:
        raise SignatureMalformed("the signature header has no time `t`, or several")
    if not offered:
        raise SignatureMalformed("the signature header has no v1 signature")
    return stamps[0], offered


def _fits(message: bytes, offered: Iterable[bytes], secrets: Sequence[bytes]) -> bool:
    """Whether one offered signature fits under one secret; bytes, as text with other than ASCII would raise."""
    made = [hmac.new(secret, message, sha256).hexdigest().encode() for secret in secrets]
    return any([hmac.compare_digest(right, signature) for signature in offered for right in made])  # noqa: C419 - always all of them
