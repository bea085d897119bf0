"""Who takes webhooks in: our gateway, a FastAPI route that does nothing, and two receivers as usually written."""

import base64
import contextlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import servers
from sandbox.ports import free_port
from sandbox.postgres import Postgres

SECRET = "whsec_" + secrets.token_hex(16)
NOOP, EXPRESS, DJSTRIPE = "FastAPI no-op", "Express + BullMQ", "dj-stripe"


@dataclass(frozen=True)
class Contender:
    """`count`: requests in a round, so that each takes a second or two."""

    name: str
    port: int
    path: str
    process: int
    count: int
    database: str = ""


@contextlib.contextmanager
def noop(scratch: Path) -> Iterator[Contender]:
    port = free_port()
    arguments = [servers.python(), str(servers.ROOT / "benchmarks/noop.py"), str(port)]
    with servers.program(arguments, {}, port, cwd=scratch, log=scratch / "noop.log") as process:
        yield Contender(NOOP, port, "/api/webhooks/stripe", process.pid, 12_000)


@contextlib.contextmanager
def gateway(
    scratch: Path, postgres: Postgres, name: str, bus: str, count: int, database: str = ""
) -> Iterator[Contender]:
    """As in production: metrics, log, outbox."""
    port, key = free_port(), base64.b64encode(secrets.token_bytes(32)).decode()
    database = database or f"gateway_{secrets.token_hex(4)}"
    url = postgres.create_databases((database,))[database]
    environment = {
        "PORT": str(port),
        "GATEWAY_DATABASE_URL": url,
        "BUS_URL": bus,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "SESSION_KEY": key,
        "INTERNAL_SIGNING_KEY": key,
        "LOG_FORMAT": "json",
    }
    arguments = [servers.python(), "-m", "gateway"]
    with servers.program(arguments, environment, port, cwd=scratch, log=scratch / f"{database}.log") as process:
        yield Contender(name, port, "/api/webhooks/stripe", process.pid, count, url)


@contextlib.contextmanager
def express(scratch: Path, postgres: Postgres) -> Iterator[Contender]:
    """Express, the `stripe` package, PostgreSQL and BullMQ."""
    if not (shutil.which("npm") and shutil.which("redis-server")):
        raise LookupError("npm and redis-server are needed")
    home, port = scratch / "express", free_port()
    shutil.copytree(servers.PEERS / "express", home)
    install = ["npm", "install", "--silent", "--no-package-lock", "--no-audit"]
    subprocess.run(install, cwd=home, check=True, capture_output=True)
    with servers.redis(scratch) as redis:
        environment = {
            "PORT": str(port),
            "DATABASE_URL": postgres.create_databases(("express",))["express"],
            "REDIS_PORT": str(redis),
            "SECRET": SECRET,
        }
        command = ["node", "server.js"]
        with servers.program(command, environment, port, cwd=home, log=scratch / "express.log") as process:
            yield Contender(EXPRESS, port, "/api/webhooks/stripe", process.pid, 5_000)


@contextlib.contextmanager
def djstripe(scratch: Path, postgres: Postgres) -> Iterator[Contender]:
    """dj-stripe behind gunicorn with two workers, told only to verify and store."""
    home, venv, port = servers.PEERS / "djstripe", scratch / "djstripe", free_port()
    subprocess.run([servers.python(), "-m", "venv", str(venv)], check=True)
    requirements = ["-r", str(home / "requirements.txt")]
    subprocess.run([venv / "bin/pip", "install", "-q", *requirements], check=True, capture_output=True)
    environment = {
        "DATABASE_URL": postgres.create_databases(("djstripe",))["djstripe"],
        "SECRET": SECRET,
        "DJANGO_SETTINGS_MODULE": "site_settings",
        "PYTHONPATH": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    prepare = [venv / "bin/python", "prepare.py"]
    made = subprocess.run(prepare, cwd=home, env=os.environ | environment, check=True, capture_output=True, text=True)
    serve = ["-w", "2", "-k", "gthread", "--threads", "8", "--keep-alive", "30", "-b", f"127.0.0.1:{port}"]
    command = [str(venv / "bin/gunicorn"), *serve, "django.core.wsgi:get_wsgi_application()"]
    with servers.program(command, environment, port, cwd=home, log=scratch / "djstripe.log") as process:
        yield Contender(DJSTRIPE, port, made.stdout.strip().splitlines()[-1], process.pid, 400)
