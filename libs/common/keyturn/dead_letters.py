"""The broker's dead queue against the rows: whatever lies there has a dead row, and nothing else lies there.

RabbitMQ itself moves a message there, past our handling: at its delivery limit, or rejected by hand in management. Such
a message has no row yet: it gets one here. It stays in the queue, as the library's own copies do, for as long as its
row is dead, since management is where people look first; then it goes. A crash in between repeats what changes
nothing. Each pass reads the whole queue, which the broker keeps at 10,000 messages.

Why not consume the queue and publish a copy of our own: a message would be in neither place for a moment, and copies
of what was retried or resolved since would still have to be found among the others.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from keyturn.bus import Bus, Message
from keyturn.bus.message import CAUSE, DEATH_REASON, storable
from keyturn.database import Database, Transaction
from keyturn.errors import Unavailable
from keyturn.log import get_logger
from keyturn.parking import key_of, row_id, write
from keyturn.retry import Cause, Outcome
from keyturn.work import Work, WorkKind

EVERY = timedelta(minutes=1)

log = get_logger()

# An event that was handled needs no row: the broker only lost its acknowledgements.
STATES = """
SELECT asked.id, coalesce(work.state, CASE WHEN inbox.handled IS NOT NULL THEN 'done' END) AS state
FROM unnest($1::uuid[], $2::uuid[]) AS asked(id, event_id) LEFT JOIN work ON work.id = asked.id
LEFT JOIN inbox ON inbox.consumer = $3 AND inbox.event_id = asked.event_id
"""


def work_kind(bus: Bus) -> WorkKind[Any]:
    """At one replica at a time."""

    async def run(work: Work, _deps: object) -> None:
        try:
            await reconcile(work.database, bus)
        except Unavailable as error:
            log.info("dead_letters_not_read", reason=str(error))  # the next run does

    return WorkKind(run, every=EVERY)


async def reconcile(database: Database, bus: Bus) -> None:
    """One pass. Raises `Unavailable`."""
    kept: set[str] = set()  # of several copies one stays

    async def sift(messages: Sequence[Message]) -> Sequence[bool]:
        async with database.transaction("dead_letters") as tx:
            return await _sift(tx, database.service, messages, kept)

    await bus.sift_dead(sift)


async def _sift(tx: Transaction, service: str, messages: Sequence[Message], kept: set[str]) -> Sequence[bool]:
    keys = [key_of(message) for message in messages]
    rows = await tx.run(STATES, [row_id(key) for key in keys], [_event_id(key) for key in keys], service)
    states = {row.id: row.state for row in rows}
    verdicts = []
    for message, key in zip(map(storable, messages), keys, strict=True):
        state = states[row_id(key)]
        if state is None and CAUSE not in message.headers:
            await _bury(tx, message, key)
            state = states[row_id(key)] = "dead"
        verdicts.append(state != "dead" or key in kept)  # our own copies come after their row: without one it is past
        kept.add(key)
    return verdicts


def _event_id(key: str) -> UUID | None:
    """None for the digest of bytes that have none."""
    return UUID(key) if len(key) == len(str(UUID(int=0))) else None


async def _bury(tx: Transaction, message: Message, key: str) -> None:
    reason = message.headers.get(DEATH_REASON, "put there by hand").replace("_", " ")
    cause = Cause(f"broker: {reason}", "", "the broker moved it to the dead queue")
    await write(tx, message, Outcome("dead", None, "dead_lettered", counts=True, cause=cause))
    log.error("dead_letter_of_the_broker", wire=message.type, key=key, reason=reason)
