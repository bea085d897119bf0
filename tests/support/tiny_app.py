"""The least that can be sold: what the sandbox's sample application does, from the standard library alone, so that it
starts at once. `python -I -S tiny_app.py`; reads PORT, DATA_DIR, ADMIN_EMAIL and ADMIN_TOKEN."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

KEPT = Path(os.environ["DATA_DIR"]) / "account.json"
SHORTEST = 10


class App(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer(200, {"status": "ok"})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/login":
            right = KEPT.exists() and json.loads(KEPT.read_text()) == asked["password"]
            self._answer(200 if right and asked["email"] == os.environ["ADMIN_EMAIL"] else 401, {})
        elif self.headers["authorization"] != f"Bearer {os.environ['ADMIN_TOKEN']}":
            self._answer(401, {})
        elif KEPT.exists():
            self._answer(204 if json.loads(KEPT.read_text()) == asked["password"] else 409, {})
        elif len(asked["password"]) < SHORTEST:
            self._answer(422, {"detail": f"Use at least {SHORTEST} characters."})
        else:
            KEPT.write_text(json.dumps(asked["password"]))  # nothing is secret here
            self._answer(204, {})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = b"" if status == 204 else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """It has nothing to say."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), App).serve_forever()
