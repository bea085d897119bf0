"""The operator API over HTTP. Whatever goes wrong becomes one of the failures in `errors`."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from keyturn_cli.config import Login
from keyturn_cli.errors import ServerProblem, ServerUnreachable

TIMEOUT = httpx.Timeout(30, connect=5)
# The server says something at least every 15 s, so silence for a minute means that the connection is dead.
STREAM_TIMEOUT = httpx.Timeout(60, connect=5)
RECONNECTS = 5


@dataclass(frozen=True)
class StreamEvent:
    """One server-sent event."""

    id: str
    event: str
    data: str


class Client:
    """One logged-in operator. Tests bring a `transport` and a `pause` that does not wait."""

    def __init__(
        self,
        login: Login,
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._pause = pause
        headers = {"Authorization": f"Bearer {login.token}", "Accept": "application/json", "User-Agent": "keyturn-cli"}
        self._http = httpx.Client(base_url=login.url, headers=headers, timeout=TIMEOUT, transport=transport)

    def get(self, path: str, **params: Any) -> Any:
        return self._send("GET", path, params={name: value for name, value in params.items() if value is not None})

    def download(self, path: str) -> bytes:
        """A file, or the problem that there is none."""
        answer = self._asked("GET", path)
        if answer.headers.get("content-type", "").startswith("application/json") or not answer.is_success:
            _read(answer)
        return answer.content

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._send("POST", path, json=body or {})

    def delete(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._send("DELETE", path, json=body)

    def _send(self, method: str, path: str, **rest: Any) -> Any:
        return _read(self._asked(method, path, **rest))

    def _asked(self, method: str, path: str, **rest: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **rest)
        except httpx.HTTPError as error:
            raise ServerUnreachable(f"{self._http.base_url} does not answer: {_reason(error)}") from error

    def stream(self, path: str) -> Iterator[StreamEvent]:
        """The events of an endless stream. A lost connection is taken up again after the last event."""
        last, failures = "", 0
        while True:
            try:
                for event in self._stream_once(path, last):
                    last, failures = event.id or last, 0
                    if event.event:
                        yield event
                failures += 1
            except httpx.HTTPError as error:
                failures += 1
                if failures > RECONNECTS:
                    raise ServerUnreachable(f"the stream is gone: {_reason(error)}") from error
            self._pause(min(failures, RECONNECTS))

    def _stream_once(self, path: str, last: str) -> Iterator[StreamEvent]:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        with self._http.stream("GET", path, headers=headers, timeout=STREAM_TIMEOUT) as answer:
            if not answer.is_success:
                answer.read()
                _read(answer)
            yield from parse(answer.iter_lines())


def parse(lines: Iterator[str]) -> Iterator[StreamEvent]:
    """Server-sent events, as far as Keyturn uses the format; one without a name for each sign of life."""
    fields: dict[str, str] = {}
    for line in lines:
        if line == "":
            if "data" in fields:
                yield StreamEvent(fields.get("id", ""), fields.get("event", "message"), fields["data"])
            fields = {}
            continue
        name, _, value = line.partition(":")
        if not name:
            yield StreamEvent("", "", "")
        else:
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name == "data" and name in fields else value


def _read(answer: httpx.Response) -> Any:
    if answer.status_code == 204:
        return None
    try:
        document = answer.json()
    except ValueError:
        raise ServerUnreachable(f"{answer.request.url.host} answered {answer.status_code}, and no JSON") from None
    if answer.is_error:
        raise ServerProblem(answer.status_code, document if isinstance(document, dict) else {})
    if answer.is_redirect:
        raise ServerUnreachable(f"{answer.request.url.host} redirects elsewhere: check the address given to `login`")
    return document


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
