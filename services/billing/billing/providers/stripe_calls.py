"""What calls through Stripe's SDK bring: plain values, or a failure of ours."""

from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import Any

import stripe

from billing.providers.failures import NotFound
from keyturn.errors import Failure, GiveUp, Retry

Json = dict[str, Any]
SEARCHED = 1000  # objects, before one counts as not there


def failure(what: str, error: stripe.StripeError) -> Failure:
    """Retry or GiveUp. Stripe's own words stay out, of the log too (`from None`): they may repeat an address."""
    facts = [type(error).__name__, error.http_status and f"HTTP {error.http_status}", error.code, error.request_id]
    message = f"Stripe, {what}: {', '.join(str(fact) for fact in facts if fact)}"
    if isinstance(error, stripe.RateLimitError):
        return Retry(message, after=_retry_after(error))
    if isinstance(error, stripe.IdempotencyError) or error.http_status == 409:
        return Retry(message)
    if error.http_status == 404:
        return NotFound(message)
    refused = error.http_status is not None and 400 <= error.http_status < 500
    return GiveUp(message) if refused else Retry(message)


def _retry_after(error: stripe.StripeError) -> timedelta | None:
    seconds = (error.headers or {}).get("retry-after", "")
    return timedelta(seconds=int(seconds)) if seconds.isdigit() else None


def surely_not_made(error: stripe.StripeError) -> bool:
    """Refused before anything was done. A refusal of a repeated refund is not that: it may be ours that was done."""
    if isinstance(error, stripe.InvalidRequestError):
        return error.code not in {"charge_already_refunded", None}
    return isinstance(error, stripe.AuthenticationError | stripe.PermissionError | stripe.RateLimitError)


def kept_500(error: stripe.StripeError) -> bool:
    return error.http_status == 500 and (error.headers or {}).get("idempotent-replayed") == "true"


def plain(found: Any) -> Json:
    return dict(found.to_dict())


async def answered(what: str, answer: Awaitable[Any]) -> Json:
    try:
        return plain(await answer)
    except stripe.StripeError as error:
        raise failure(f"asking for a {what}", error) from None


async def first(found: AsyncIterator[Any], name: str, value: str) -> Json | None:
    """The first of the newest whose metadata has this."""
    count = 0
    async for one in found:
        whole = plain(one)
        if (whole.get("metadata") or {}).get(name) == value:
            return whole
        count += 1
        if count >= SEARCHED:
            break
    return None
