"""Ports are given to one asker each, also before and between the times that something listens there."""

import socket
import subprocess
import sys

from sandbox.ports import free_port

TAKE = "import socket, sys; socket.socket().bind(('127.0.0.1', int(sys.argv[1])))"


def _another_process_may_take(port: int) -> bool:
    return subprocess.run([sys.executable, "-c", TAKE, str(port)], check=False, capture_output=True).returncode == 0


def test_a_port_is_kept_before_and_after_a_server_listens_there() -> None:
    port = free_port()
    assert not _another_process_may_take(port)
    for _ in range(2):
        socket.create_server(("127.0.0.1", port)).close()
    assert not _another_process_may_take(port)
