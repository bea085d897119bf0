"""The script that makes the databases: what everybody on the machine may read of it."""

import os
import subprocess
from pathlib import Path

from keyturn.bus.topology import SERVICES

SCRIPT = Path(__file__).parents[3] / "deploy/docker/postgres-init.sh"


def test_no_password_stands_on_a_command_line(tmp_path: Path) -> None:
    """A process's arguments are shown to every user of the machine, its environment is not."""
    stub, seen = tmp_path / "psql", tmp_path / "seen"
    stub.write_text(f'#!/bin/sh\necho "$@" >> {seen}\ncat > /dev/null\n')
    stub.chmod(0o755)
    passwords = {f"{service.upper()}_DB_PASSWORD": f"secret-of-{service}" for service in SERVICES}
    environment = passwords | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "POSTGRES_USER": "postgres"}
    subprocess.run([SCRIPT], env=environment, check=True)
    assert len(seen.read_text().splitlines()) > len(SERVICES)
    assert "secret-of" not in seen.read_text()
