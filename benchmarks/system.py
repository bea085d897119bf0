"""Keyturn as in production, but for what is outside: four processes on RabbitMQ and a durable PostgreSQL."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks import servers
from sandbox.hosts import Processes
from sandbox.ports import free_port
from sandbox.postgres import SERVICES, Postgres
from sandbox.system import System
from support.broker import VirtualHost

# An install that takes no time: one question to a server that answers at once.
BLUEPRINT = """
name: nothing
description: One question to a server that answers at once
resources:
  health: {{type: http.check, url: "{url}"}}
outputs: {{url: "{url}"}}
setup:
  - {{type: http.call, method: GET, url: "{url}"}}
"""
CATALOG = """
default: nothing
products:
  nothing:
    name: Nothing
    description: Takes no time.
    blueprint: nothing
    plans:
      only:
        key: 1
        name: Only
        limits: {}
        prices: [{cycle: one_time, currency: EUR, amount: 4900}]
"""


def databases(folder: Path, postgres: Postgres) -> dict[str, str]:
    """Each service's, made unless it is there."""
    names = {service: f"{folder.name}_{service}" for service in SERVICES}
    urls = postgres.create_databases(tuple(names.values()))
    return {service: urls[name] for service, name in names.items()}


@contextlib.asynccontextmanager
async def running(folder: Path, postgres: Postgres, vhost: VirtualHost) -> AsyncIterator[System]:
    port, blueprints = free_port(), folder / "blueprints"
    blueprints.mkdir(parents=True)
    (blueprints / "nothing.yaml").write_text(BLUEPRINT.format(url=f"http://127.0.0.1:{port}/"))
    (folder / "catalog.yaml").write_text(CATALOG)
    given = {
        "BLUEPRINTS": str(blueprints),
        "CATALOG": str(folder / "catalog.yaml"),
        "TRUSTED_PROXIES": "127.0.0.1/32",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "INFO",
    }
    given |= {f"{name.upper()}_DATABASE_URL": url for name, url in databases(folder, postgres).items()}
    given |= {f"{name.upper()}_BUS_URL": vhost.url(name) for name in SERVICES}
    noop = [servers.python(), str(servers.ROOT / "benchmarks/noop.py"), str(port)]
    with servers.program(noop, {}, port, cwd=folder, log=folder / "noop.log"):
        async with System(folder, given=given, host=Processes(folder / "logs")) as system:
            yield system
