"""An ACME server in front of Pebble that says what Pebble cannot: that a limit is reached, and when to renew (ARI)."""

import json
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import httpx

from support.pebble import Pebble

LIMITED = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many certificates", "status": 429}


class AcmeProxy:
    """`with AcmeProxy(pebble) as proxy`. `retry_after`: orders are refused with it. `window`: when certificates are to be
    renewed, from now on."""

    def __init__(self, pebble: Pebble) -> None:
        self._pebble = pebble
        self.retry_after: str | None = None
        self.window: tuple[timedelta, timedelta] | None = None
        self.orders = 0
        self._client = httpx.Client(verify=pebble.trusting(), timeout=10)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy._answer(self)

            do_POST = do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pebble.ca_file, pebble.root / "key.pem")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    @property
    def directory(self) -> str:
        return f"{self.address}/dir"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._client.close()

    def _answer(self, asked: BaseHTTPRequestHandler) -> None:
        body = asked.rfile.read(int(asked.headers.get("content-length") or 0))
        if asked.path.startswith("/ari/") and self.window:
            start, end = (datetime.now(UTC) + span for span in self.window)
            window = {"start": start.isoformat(), "end": end.isoformat()}
            _send(asked, 200, json.dumps({"suggestedWindow": window}).encode(), {"Retry-After": "21600"})
            return
        headers = {name: value for name, value in asked.headers.items() if name.lower() != "connection"}
        answer = self._client.request(
            asked.command, f"https://127.0.0.1:{self._pebble.port}{asked.path}", content=body, headers=headers
        )
        kept = ("replay-nonce", "location", "content-type", "link", "retry-after")
        told = {name: answer.headers[name] for name in kept if name in answer.headers}
        if asked.path == "/order-plz":
            self.orders += 1
            if self.retry_after is not None:
                told |= {"retry-after": self.retry_after, "content-type": "application/problem+json"}
                _send(asked, 429, json.dumps(LIMITED).encode(), told)
                return
        content: Any = answer.content
        if asked.path == "/dir" and self.window:
            content = json.dumps(answer.json() | {"renewalInfo": f"{self.address}/ari"}).encode()
        _send(asked, answer.status_code, content, told)


def _send(asked: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
    asked.send_response(status)
    for name, value in headers.items():
        asked.send_header(name, value)
    asked.send_header("content-length", str(len(body)))
    asked.end_headers()
    if asked.command != "HEAD":
        asked.wfile.write(body)
