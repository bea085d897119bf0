"""Which address of the bus each service gets. A given broker must hold the topology: we make it where we may."""

from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit

import aio_pika
import httpx
from aio_pika.exceptions import AMQPError

from keyturn.bus.link import Connection
from keyturn.bus.setup import set_up, users_of
from keyturn.bus.topology import EVENTS_EXCHANGE, VHOST, definitions, events_queue, subscriptions_of
from keyturn.errors import Misconfigured
from sandbox.postgres import SERVICES

MEMORY = "memory://"
HOW = (
    "set BUS_ADMIN_URL=http://USER:PASSWORD@HOST:15672 and the sandbox makes it; or make it by hand: "
    "`python -m keyturn.bus.setup deploy/rabbitmq/definitions.json`, with <SERVICE>_BUS_PASSWORD for each service"
)


async def addresses(given: Mapping[str, str], secrets: Mapping[str, str]) -> dict[str, str]:
    """BUS_URL for each service: `<SERVICE>_BUS_URL` where that is given, else BUS_URL, else the bus in memory. With
    BUS_ADMIN_URL the broker gets users, rights and topology first, and each service its own user.
    Raises `Misconfigured` where the broker cannot be used."""
    shared = given.get("BUS_URL", MEMORY)
    urls = {name: given.get(f"{name.upper()}_BUS_URL", shared) for name in SERVICES}
    if admin := given.get("BUS_ADMIN_URL"):
        if shared.startswith("memory:"):
            raise Misconfigured("BUS_ADMIN_URL is given and BUS_URL is not: the broker is looked for there")
        passwords = _set_up(admin, _vhost(shared), {**secrets, **given})
        made = {name: _as_user(shared, name, passwords[name]) for name in SERVICES}
        urls = {name: given.get(f"{name.upper()}_BUS_URL", made[name]) for name in SERVICES}
    for name, url in urls.items():
        if not url.startswith("memory:"):
            await _check(name, url)
    return urls


def _set_up(admin: str, vhost: str, known: Mapping[str, str]) -> dict[str, str]:
    document = definitions(subscriptions_of(), vhost)
    passwords = {user: known[f"{user.upper()}_BUS_PASSWORD"] for user in users_of(document)}
    try:
        with httpx.Client(base_url=admin, timeout=10, trust_env=False) as client:
            set_up(client, document, passwords)
    except httpx.HTTPError as error:
        raise Misconfigured(f"BUS_ADMIN_URL: the broker's management did not do it: {error}") from error
    return passwords


def _vhost(url: str) -> str:
    return unquote(urlsplit(url).path.removeprefix("/")) or VHOST


def _as_user(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    path = parts.path if parts.path.strip("/") else f"/{VHOST}"
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}", path=path).geturl()


async def _check(service: str, url: str) -> None:
    try:
        connection = await aio_pika.connect(url, timeout=10, connection_class=Connection)
    except (OSError, AMQPError) as error:
        where = urlsplit(url).netloc.rpartition("@")[2]
        raise Misconfigured(f"BUS_URL: {service} cannot connect to {where}: {type(error).__name__}; {HOW}") from error
    async with connection:
        try:
            channel = await connection.channel()
            await channel.get_exchange(EVENTS_EXCHANGE, ensure=True)
            await channel.get_queue(events_queue(service), ensure=True)
        except AMQPError as error:
            raise Misconfigured(f"BUS_URL: the broker has no queue {events_queue(service)}; {HOW}") from error
