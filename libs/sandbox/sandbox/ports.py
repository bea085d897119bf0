"""Loopback ports for what is started on this machine."""

import os
import secrets
import socket
from collections import deque
from contextlib import suppress

PORTS = range(10_000, 20_000)  # below those that the kernel takes for outgoing connections
KEPT = 100

_kept: deque[int] = deque()  # sockets


def free_port() -> int:
    """Kept from whoever asks next, in any process: nobody has it by chance before we listen there, or while what
    listens there is started anew."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as kept, suppress(OSError):
            kept.bind(("127.0.0.1", port))  # refused where anybody has it
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # from now on a server may have it as well
            _kept.append(kept.detach())
            if len(_kept) > KEPT:
                os.close(_kept.popleft())
            return port
