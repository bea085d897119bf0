"""What stands behind a proxy: answers with what it was asked, and echoes over a WebSocket. From the standard library
alone, so that it starts at once: `python -I -S echo_app.py`; reads PORT and NAME."""

import base64
import hashlib
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers["upgrade"] == "websocket":
            self._talk()
        else:
            self._answer()

    def do_POST(self) -> None:
        self._answer(len(self.rfile.read(int(self.headers["content-length"]))))

    def _answer(self, received: int = 0) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        told = {"name": os.environ["NAME"], "path": self.path, "received": received, "headers": headers}
        content = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _talk(self) -> None:
        """Short messages, until the other side ends."""
        accept = hashlib.sha1((self.headers["sec-websocket-key"] + MAGIC).encode()).digest()  # the protocol's own
        self.send_response(101)
        self.send_header("upgrade", "websocket")
        self.send_header("connection", "upgrade")
        self.send_header("sec-websocket-accept", base64.b64encode(accept).decode())
        self.end_headers()
        self.close_connection = True
        while len(head := self.rfile.read(2)) == 2:
            mask = self.rfile.read(4)
            said = self.rfile.read(head[1] & 0x7F)
            plain = bytes(byte ^ mask[index % 4] for index, byte in enumerate(said))
            self.wfile.write(bytes([head[0], len(plain)]) + plain)

    def log_message(self, *_: Any) -> None:
        """It has nothing to say."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), App).serve_forever()
