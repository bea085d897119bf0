"""A stand-in of the operator API for the `keyturn` command."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from typer.testing import CliRunner, Result

from keyturn_cli.main import app
from keyturn_cli.session import Session

TOKEN = "kt_" + "s" * 43
INSTALL = "018f0000-0000-7000-8000-000000000001"


@dataclass
class Server:
    """Answers by method and path; remembers what was asked."""

    file: Path
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        answer = self.answers.get(f"{request.method} {request.url.path}")
        if answer is None:
            raise httpx.ConnectError("refused")
        if callable(answer):
            found: httpx.Response = answer(request)
            return found
        return httpx.Response(200, json=answer)

    def run(self, *arguments: str, typed: str | None = None) -> Result:
        here = Session(file=self.file, transport=httpx.MockTransport(self), pause=lambda _: None)
        return CliRunner().invoke(app, arguments, input=typed, obj=here)

    @property
    def sent(self) -> Any:
        return json.loads(self.asked[-1].content)


def problem(status: int, code: str, **extra: Any) -> Callable[[httpx.Request], httpx.Response]:
    document = {"type": "about:blank", "title": "T", "status": status, "code": code, "detail": f"because {code}"}
    return lambda _: httpx.Response(status, json=document | extra)
