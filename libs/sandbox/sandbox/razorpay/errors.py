"""Razorpay's errors."""

from typing import Any

from fastapi.responses import JSONResponse


class RazorpayProblem(Exception):
    """`reason` and `field` are lost in the official SDK, which keeps the description only."""

    def __init__(
        self, status: int, description: str, *, code: str = "BAD_REQUEST_ERROR", field: str | None = None
    ) -> None:
        super().__init__(description)
        self.status = status
        reason = "input_validation_failed" if field else "NA"
        self.error: dict[str, Any] = {"code": code, "description": description, "source": "NA", "step": "NA"}
        self.error |= {"reason": reason, "metadata": {}} | ({"field": field} if field else {})

    def response(self) -> JSONResponse:
        return JSONResponse({"error": self.error}, self.status)


def bad(description: str, field: str | None = None) -> RazorpayProblem:
    """400: also for ids that do not exist."""
    return RazorpayProblem(400, description, field=field)


def missing() -> RazorpayProblem:
    return bad("The id provided does not exist")


def broken() -> RazorpayProblem:
    description = "We are facing some trouble completing your request at the moment. Please try again shortly."
    return RazorpayProblem(500, description, code="SERVER_ERROR")
