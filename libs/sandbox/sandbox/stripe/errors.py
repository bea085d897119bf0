"""Stripe's errors, in the shape that its SDK reads."""

from typing import Any

from fastapi.responses import JSONResponse


class StripeProblem(Exception):
    """`executed`: the call had begun to have effects, so its result is kept under its idempotency key."""

    def __init__(self, status: int, error: dict[str, Any], *, executed: bool = False) -> None:
        super().__init__(error["message"])
        self.status = status
        self.error = error
        self.executed = executed

    def response(self) -> JSONResponse:
        return JSONResponse({"error": self.error}, self.status)


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> StripeProblem:
    """400: refused before anything was done."""
    return StripeProblem(400, _body("invalid_request_error", message, param, code))


def refused(message: str, *, param: str | None = None, code: str | None = None) -> StripeProblem:
    """400: refused by the state of the object, so the result is kept."""
    return StripeProblem(400, _body("invalid_request_error", message, param, code), executed=True)


def missing(kind: str, id_: str, param: str = "id") -> StripeProblem:
    """404: no such object on this account."""
    return StripeProblem(404, _body("invalid_request_error", f"No such {kind}: '{id_}'", param, "resource_missing"))


def unauthorized(key: str | None) -> StripeProblem:
    """401: Stripe repeats the wrong key, all but its ends starred."""
    if key is None:
        return StripeProblem(401, _body("invalid_request_error", "You did not provide an API key."))
    starred = f"{key[:8]}{'*' * max(len(key) - 12, 0)}{key[-4:]}"
    return StripeProblem(401, _body("invalid_request_error", f"Invalid API Key provided: {starred}"))


def key_mismatch(key: str) -> StripeProblem:
    """400: the same idempotency key with other parameters."""
    message = (
        "Keys for idempotent requests can only be used with the same parameters they were first used with. "
        f"Try using a key other than '{key}' if you meant to execute a different request."
    )
    return StripeProblem(400, _body("idempotency_error", message))


def key_in_use(key: str) -> StripeProblem:
    """409: the first call with this key still runs."""
    message = f"There is currently another in-progress request using this Idempotent Key: {key}. Please try again."
    return StripeProblem(409, _body("idempotency_error", message, code="idempotency_key_in_use"))


def rate_limited() -> StripeProblem:
    """429."""
    message = "Request rate limit exceeded. Learn more about rate limits at https://docs.stripe.com/rate-limits."
    return StripeProblem(429, _body("invalid_request_error", message, code="rate_limit"))


def broken() -> StripeProblem:
    """500: the result is kept, as Stripe keeps it."""
    return StripeProblem(500, _body("api_error", "An unknown error occurred"), executed=True)


def _body(type_: str, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    optional = {"param": param, "code": code}
    return {"message": message, "type": type_, **{name: value for name, value in optional.items() if value}}
