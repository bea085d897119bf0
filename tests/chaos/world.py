"""The world of a run: servers of its own, two replicas of each service, a proxy on every way between them, and the
stand-ins for the outside."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from chaos.replicas import Replicas
from chaos.servers import Broker, Database
from chaos.watcher import Watcher
from keyturn.http import new_client
from sandbox.delivery import Weather
from sandbox.loopback import Loopback
from sandbox.postgres import SERVICES
from sandbox.shopper import Shopper
from sandbox.system import System
from support import recipes
from support.broker import RabbitMQ, VirtualHost
from support.forks import Forks, Nursery
from support.neighbour import Neighbour
from support.proxy import Proxy
from support.traces import Traces
from support.whole import Whole, from_anywhere

WEATHER = Weather(losses=0.05, duplicates=0.2, delay=0.5)  # of the webhooks, all the time


@dataclass
class World:
    whole: Whole
    replicas: Replicas
    links: dict[tuple[str, str], Proxy]  # database or bus, of which service
    servers: dict[str, Broker | Database]
    broker: RabbitMQ
    vhost: VirtualHost
    neighbour: Neighbour
    watcher: Watcher

    @property
    def system(self) -> System:
        return self.whole.system

    @property
    def traces(self) -> Traces:
        return self.whole.traces


@contextlib.asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    async with contextlib.AsyncExitStack() as stack:
        nursery = stack.enter_context(Nursery())
        rabbit = Broker()
        stack.callback(rabbit.server.stop)
        postgres = Database(folder / "postgres")
        stack.callback(postgres.stop)
        rabbit.server.wait()
        broker = RabbitMQ(rabbit.server.url, rabbit.server.management_url)
        stack.callback(broker.close)
        vhost = broker.create()
        watcher = await stack.enter_async_context(Watcher(vhost.admin_url))
        direct = postgres.server.create_databases()
        links = await _links(stack, direct, vhost)
        neighbour, target = Neighbour(), Loopback()
        await target.start(neighbour.app())
        stack.push_async_callback(target.stop)
        replicas = Replicas(Forks(nursery, folder / "logs"), stack)
        system = System(folder / "system", given=_given(folder, direct, vhost, links, target.url), host=replicas)
        await stack.enter_async_context(system)
        client = await stack.enter_async_context(new_client(base_url=system.url, connections=200))
        client.event_hooks["request"].append(from_anywhere)
        for standin in (system.stripe, system.razorpay):
            standin.webhooks.weather = WEATHER
        shopper = Shopper(client, system.stripe, system.razorpay, system.mailbox)
        whole = Whole(system, client, shopper, "rabbitmq", broker, vhost)
        whole.traces = Traces(direct, system.clock)  # straight to the databases
        stack.push_async_callback(whole.traces.close)
        servers: dict[str, Broker | Database] = {"broker": rabbit, "database": postgres}
        yield World(whole, replicas, links, servers, broker, vhost, neighbour, watcher)


async def _links(
    stack: contextlib.AsyncExitStack, direct: dict[str, str], vhost: VirtualHost
) -> dict[tuple[str, str], Proxy]:
    links = {}
    for service in SERVICES:
        for link, target in (("database", urlsplit(direct[service]).netloc.rpartition("@")[2]), ("bus", vhost.host)):
            links[link, service] = await stack.enter_async_context(Proxy(target))
    return links


def _given(
    folder: Path, direct: dict[str, str], vhost: VirtualHost, links: dict[tuple[str, str], Proxy], target: str
) -> dict[str, str]:
    def through(service: str) -> str:
        parts = urlsplit(direct[service])
        host = links["database", service].address
        return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{host}").geturl()

    blueprint = recipes.tiny(first={"type": "http.call", "url": f"{target}/first/{{install.id}}"})
    databases = {f"{service.upper()}_DATABASE_URL": through(service) for service in SERVICES}
    buses = {
        f"{service.upper()}_BUS_URL": vhost.url(service, host=links["bus", service].address) for service in SERVICES
    }
    return (
        databases
        | buses
        | {
            "BLUEPRINTS": recipes.write(folder / "blueprints", blueprint),
            "TRUSTED_PROXIES": "127.0.0.1",
            "LOG_LEVEL": "INFO",
        }
    )
