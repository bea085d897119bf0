from collections.abc import Callable, Iterator

import pytest

from support.databases import Databases
from support.models import Loop, own_loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    with own_loop() as made:
        yield made


@pytest.fixture
def new_database(postgres_url: str, loop: Loop) -> Iterator[Callable[[str], str]]:
    """`new_database("billing")`: its address; for tests that are no coroutines."""
    databases = Databases(postgres_url)
    yield lambda service: loop.run(databases.create(service))
    loop.run(databases.close())
