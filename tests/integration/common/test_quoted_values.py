"""DESIGN §6 rule 17: PostgreSQL quotes values in its errors, and nobody sees them."""

import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import structlog
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from sqlalchemy import Column, Table, Text, insert

from keyturn import log
from keyturn.bus import Delivery, Message
from keyturn.bus.memory import MemoryBroker
from keyturn.clock import MovableClock
from keyturn.database import Database, Transaction, new_metadata
from keyturn.events import PurchaseExpired
from keyturn.handling import Consumer
from keyturn.http import Boundary, install_problems
from keyturn.work import Work, WorkKind
from keyturn.worker import Worker
from support.data_plane import expired, one
from support.waiting import WaitUntil

pytestmark = pytest.mark.servers

METADATA = new_metadata()
PEOPLE = Table("people", METADATA, Column("email", Text, primary_key=True), Column("name", Text))
EMAIL = "zoe@customers.example"

Write = Callable[[Transaction], Awaitable[None]]


async def raw(tx: Transaction) -> None:
    await tx.run("INSERT INTO people (email) VALUES ($1)", EMAIL)


async def orm(tx: Transaction) -> None:
    await tx.session.execute(insert(PEOPLE).values(email=EMAIL))


async def no_number(tx: Transaction) -> None:
    await tx.run("SELECT ($1::text)::int", EMAIL)


@pytest.fixture(params=[raw, orm, no_number])
def write(request: pytest.FixtureRequest) -> Write:
    found: Write = request.param
    return found


@pytest.fixture
async def database(database_url: Any, clock: MovableClock) -> AsyncIterator[Database]:
    made = Database(await database_url(METADATA), service="gateway", clock=clock)
    async with made.transaction("first") as tx:
        await raw(tx)
    yield made
    await made.close()


@pytest.fixture(params=["json", "console"])
def lines(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """Logging as a service configures it, given back afterwards as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    log.configure("gateway", request.param, "DEBUG", stream=stream)
    yield stream
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


async def test_rule_17_the_log_names_error_and_place_and_no_value(
    database: Database, write: Write, lines: io.StringIO
) -> None:
    try:
        async with database.transaction("second") as tx:
            await write(tx)
    except Exception as error:
        log.get_logger().exception("it_failed", error=error)
        logging.getLogger("a.library").exception("it failed: %s", error)  # noqa: TRY401 - as libraries do
    text = lines.getvalue()
    assert EMAIL not in text
    assert ("SQLSTATE 22P02" if write is no_number else "SQLSTATE 23505 table people constraint pk_people") in text
    assert f"in {write.__name__}" in text  # the place stays


async def test_rule_17_a_work_row_names_no_value(
    database: Database, write: Write, lines: io.StringIO, wait_until: WaitUntil
) -> None:
    async def on_purchase_expired(_: PurchaseExpired, tx: Transaction) -> None:
        await write(tx)

    async def work_on(work: Work, _: object) -> None:
        async with work.transaction("done") as tx:
            await write(tx)

    consumer = Consumer(database, MemoryBroker().bus("gateway"), {PurchaseExpired: on_purchase_expired})
    event = expired(str(uuid4()))
    message = Message(str(event.id), event.wire, event.subject, "billing", event.time, event.to_bytes("billing"))
    assert await consumer.deliver(Delivery(message, redelivered=False)) == "ack"
    async with database.transaction("ask") as tx:
        tx.schedule("failing", "a")
    worker: Worker[None] = Worker(database, {"failing": WorkKind(work_on)}, None)
    await worker.start()

    async def both_failed() -> bool:
        return bool(await one(database, "SELECT count(*) FROM work WHERE cause IS NOT NULL") == 2)

    await wait_until(both_failed)
    await worker.stop()
    async with database.transaction("look") as tx:
        rows = await tx.run("SELECT to_jsonb(work) - 'body' AS whole FROM work WHERE cause IS NOT NULL")
    text = str([json.dumps(row.whole, default=str) for row in rows]) + lines.getvalue()
    assert EMAIL not in text
    assert "SQLSTATE" in text


async def test_rule_17_a_problem_document_names_no_value(database: Database, write: Write, lines: io.StringIO) -> None:
    app = FastAPI()
    install_problems(app)
    app.add_middleware(Boundary, service="gateway")

    @app.get("/")
    async def fails() -> None:
        async with database.transaction("second") as tx:
            await write(tx)

    async with AsyncClient(transport=ASGITransport(app), base_url="http://gateway") as http:
        answer = await http.get("/")
    assert answer.status_code == 500
    assert EMAIL not in answer.text + lines.getvalue()
    assert "request_failed" in lines.getvalue()
