"""Whether the time of a refusal tells how much of a forged proof was right.

Each check is asked, in random order, about a proof that is wrong in its first character and one that is right up to its
last. Welch's t over the faster nine tenths of the calls: beyond 4.5 either way, the two can be told apart, by the limit
that leakage tests of ciphers use. A comparison that stops at the first difference is asked too: it must be found out.
"""

import hmac
import random
import statistics
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from math import sqrt
from pathlib import Path
from uuid import UUID

from pydantic import SecretStr

from benchmarks import table
from benchmarks.brokers import RabbitMQ
from benchmarks.budgets import Row
from billing.providers import CheckoutRefs, ReturnProof
from billing.providers.razorpay import RazorpayProvider
from gateway.access import Access
from gateway.webhooks.signatures import SignatureError, verify_razorpay, verify_stripe
from sandbox.postgres import Postgres

CALLS = 200_000  # of each of the two
KEPT = 0.9
TOLD_APART = 4.5
BODY, SECRET, STAMP = b"{}" * 200, b"nobody's secret", 1_790_000_000
NOW, PURCHASE = datetime(2026, 9, 1, tzinfo=UTC), UUID(int=7)
RAZORPAY = RazorpayProvider("rzp_test_nobody", SECRET.decode())
ACCESS = Access(SecretStr("nobody's session key"))


def _mac(message: bytes) -> str:
    return hmac.new(SECRET, message, sha256).hexdigest()


def _stripe(signature: str) -> None:
    with suppress(SignatureError):
        verify_stripe(BODY, f"t={STAMP},v1={signature}".encode(), [SECRET], STAMP)


def _razorpay(signature: str) -> None:
    with suppress(SignatureError):
        verify_razorpay(BODY, signature.encode(), [SECRET])


def _return(signature: str) -> bool:
    return RAZORPAY.verify_return(CheckoutRefs(PURCHASE, 1, "order_1"), ReturnProof(None, "pay_1", signature))


def _access(mac: str) -> bool:
    return ACCESS.allows(urlsafe_b64encode(CLAIM + bytes.fromhex(mac)).decode(), PURCHASE, "access", NOW)


def _careless(signature: str) -> bool:
    return all(mine == theirs for mine, theirs in zip(CARELESS, signature, strict=True))


TOKEN = urlsafe_b64decode(ACCESS.sign(PURCHASE, "access", NOW))
CLAIM = TOKEN[:24]
CARELESS = _mac(BODY)
CHECKS: dict[str, tuple[Callable[[str], object], str]] = {
    "Stripe's webhook signature": (_stripe, _mac(f"{STAMP}.".encode() + BODY)),
    "Razorpay's webhook signature": (_razorpay, _mac(BODY)),
    "Razorpay's return from the checkout": (_return, _mac(b"order_1|pay_1")),
    "access to a purchase": (_access, TOKEN[24:].hex()),
    "a careless comparison": (_careless, CARELESS),
}


def _wrong_at(proof: str, place: int) -> str:
    other = "1" if proof[place] == "0" else "0"
    return proof[:place] + other + proof[place:][1:]


def _times(check: Callable[[str], object], early: str, late: str) -> tuple[list[int], list[int]]:
    """Nanoseconds of each call."""
    taken: tuple[list[int], list[int]] = ([], [])
    chance = random.Random(1)
    for _ in range(2 * CALLS):
        is_late = chance.random() < 0.5
        proof = late if is_late else early
        began = time.perf_counter_ns()
        check(proof)
        taken[is_late].append(time.perf_counter_ns() - began)
    return taken


def _fast(taken: list[int]) -> list[int]:
    return sorted(taken)[: int(len(taken) * KEPT)]


def welch(one: list[int], other: list[int]) -> float:
    spread = sqrt(statistics.variance(one) / len(one) + statistics.variance(other) / len(other))
    return (statistics.fmean(other) - statistics.fmean(one)) / spread


def main(_scratch: Path, _postgres: Postgres, _broker: RabbitMQ) -> list[Row]:
    lines = []
    for name, (check, right) in CHECKS.items():
        early, late = (_fast(taken) for taken in _times(check, _wrong_at(right, 0), _wrong_at(right, len(right) - 1)))
        t = welch(early, late)
        means = [f"{statistics.fmean(taken):.0f}" for taken in (early, late)]
        lines.append([name, *means, f"{t:.1f}", "yes" if abs(t) > TOLD_APART else "no"])
    headings = ("wrong at its", "first, ns", "last, ns", "t", "told apart")
    table.show(f"refusals, {CALLS} of each", headings, lines)
    return []
