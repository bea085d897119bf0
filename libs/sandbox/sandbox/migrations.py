"""`make check`: every service's migrations give just the tables that its models describe."""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keyturn.revisions import differences
from sandbox.postgres import SERVICES, Postgres


@contextmanager
def server() -> Iterator[str]:
    """A PostgreSQL server on which databases may be made: the given one, or a private one."""
    if given := os.environ.get("MIGRATIONS_URL") or os.environ.get("TEST_POSTGRES_URL"):
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="keyturn-migrations-"))
    folder.chmod(0o755)
    try:
        postgres = Postgres.start(folder / "postgres", durable=False)
        try:
            yield postgres.url
        finally:
            postgres.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Exit code 1 with what is missing in the migrations."""
    wrong = 0
    with server() as url:
        for service in SERVICES:
            if found := asyncio.run(differences(url, service)):
                wrong = 1
                print(f"{service}: models and migrations differ\n{found}", file=sys.stderr)
    return wrong


if __name__ == "__main__":
    raise SystemExit(main())
