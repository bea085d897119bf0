"""RabbitMQ virtual hosts with the real topology and rights, by the same means as the tests'."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import servers as test_servers
from support.broker import RabbitMQ, VirtualHost
from support.rabbitmq import PrivateRabbitMQ


@contextlib.contextmanager
def rabbitmq() -> Iterator[RabbitMQ]:
    """The broker that the tests would use."""
    with test_servers.start():
        found = RabbitMQ(os.environ[test_servers.RABBITMQ_URL], os.environ[test_servers.MANAGEMENT_URL])
        try:
            yield found
        finally:
            found.close()


@contextlib.contextmanager
def another() -> Iterator[RabbitMQ]:
    """One more, of this machine's programs."""
    private = PrivateRabbitMQ().launch()
    try:
        private.wait()
        found = RabbitMQ(private.url, private.management_url)
        yield found
        found.close()
    finally:
        private.stop()


@contextlib.contextmanager
def virtual_host(found: RabbitMQ) -> Iterator[VirtualHost]:
    made = found.create()
    try:
        yield made
    finally:
        found.delete(made)
