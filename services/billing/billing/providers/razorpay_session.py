"""The transport below Razorpay's SDK: tells failures apart before the SDK sees them.

The SDK keeps the description alone, of status and code nothing, fails on bodies that are not JSON, and prints what it
cannot handle. All of that happens after this.
"""

from datetime import timedelta
from typing import Any

import requests

from billing.providers.failures import NotFound
from keyturn.errors import Failure, GiveUp, Retry


class RazorpaySession(requests.Session):
    """Raises Retry or GiveUp for whatever is not a JSON object with a 2xx status."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        what = f"Razorpay, {request.method} {_kind(request)}"
        try:
            response = super().send(request, **kwargs)
        except requests.RequestException as error:
            raise Retry(f"{what}: {type(error).__name__}") from error
        document = _document(response)
        if not response.ok:
            raise _failure(what, response, document)
        if document is None:
            raise Retry(f"{what}: HTTP {response.status_code} without a JSON object")
        return response


def _kind(request: requests.PreparedRequest) -> str:
    """The path without ids and query."""
    parts = (request.path_url or "").partition("?")[0].split("/")
    return "/".join(part for part in parts if "_" not in part)


def _document(response: requests.Response) -> dict[str, Any] | None:
    try:
        found = response.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _failure(what: str, response: requests.Response, document: dict[str, Any] | None) -> Failure:
    """Of Razorpay's words only code, reason and field: a description may repeat what a customer typed."""
    error = (document or {}).get("error")
    error = error if isinstance(error, dict) else {}
    facts = [error.get("code"), error.get("reason"), error.get("field"), response.headers.get("request-id")]
    message = f"{what}: HTTP {response.status_code} {', '.join(str(fact) for fact in facts if fact)}".rstrip()
    after = response.headers.get("retry-after", "")
    if response.status_code == 429:
        return Retry(message, after=timedelta(seconds=int(after)) if after.isdigit() else None)
    if response.status_code == 409 or response.status_code >= 500 or document is None:
        return Retry(message)
    if "does not exist" in str(error.get("description")):  # a 400, as everything else
        return NotFound(message)
    return GiveUp(message)
