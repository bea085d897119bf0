"""A web server that hands out a folder below /.well-known/acme-challenge/ of every host, as nginx would."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PREFIX = "/.well-known/acme-challenge/"


@contextmanager
def handing_out(folder: Path, port: int) -> Iterator[list[str]]:
    """Gives what it was asked for, with the host in front."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.headers['host'].partition(':')[0]}{self.path}")
            file = folder / self.path.removeprefix(PREFIX)
            found = self.path.startswith(PREFIX) and "/" not in file.name and file.is_file()
            body = file.read_bytes() if found else b""
            self.send_response(200 if found else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()
