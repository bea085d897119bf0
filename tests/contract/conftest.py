"""A broker of our own, for tests that kill it: one for all of them, so they run in one worker (`private-rabbitmq`)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import rabbitmq
from support.broker import RabbitMQ

CONFIGURATION = Path(__file__).parents[2] / "deploy/rabbitmq/rabbitmq.conf"


@pytest.fixture(scope="session")
def private(broker: RabbitMQ) -> Iterator[rabbitmq.PrivateRabbitMQ]:
    """It boots with the configuration that we ship."""
    if not rabbitmq.PROGRAM.exists():
        pytest.skip("killing a broker needs one of our own, and RabbitMQ is not installed on this machine")
    made = rabbitmq.PrivateRabbitMQ(CONFIGURATION.read_text()).launch().wait()
    yield made
    made.stop()
