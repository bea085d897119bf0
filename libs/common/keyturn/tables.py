"""The five tables that every service's database has, and the base of its own tables."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
_TIME = DateTime(timezone=True)
_shared = MetaData(naming_convention=_NAMES)

# `id` is also the order of publishing. Rows are written at the end of a transaction, while it holds the locks of what
# it changed, so for one subject the order of ids is the order of commits.
OUTBOX = Table(
    "outbox",
    _shared,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("event_id", Uuid, nullable=False),
    Column("subject", Text, nullable=False),
    Column("wire", Text, nullable=False),
    Column("time", _TIME, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("exchange", Text, nullable=False),
    Column("routing_key", Text, nullable=False),
    Column("traceparent", Text),
    Column("cause", Text),
    Column("created", _TIME, nullable=False),
    Column("due", _TIME, nullable=False),
    Column("published", _TIME),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("error", Text),
    Index("ix_outbox_unpublished", "id", postgresql_where=text("published IS NULL")),
    Index("ix_outbox_refused", "subject", "id", postgresql_where=text("published IS NULL AND attempts > 0")),
    Index("ix_outbox_published", "published", postgresql_where=text("published IS NOT NULL")),
)

# `starts` counts how often a redelivered event was begun: one that kills the process is written off in the end.
INBOX = Table(
    "inbox",
    _shared,
    Column("consumer", Text, primary_key=True),
    Column("event_id", Uuid, primary_key=True),
    Column("received", _TIME, nullable=False, index=True),
    Column("handled", _TIME),
    Column("starts", Integer, nullable=False, server_default=text("0")),
)

# `due` NULL: parked until somebody acts. `again`: scheduled once more while it was being worked on.
WORK = Table(
    "work",
    _shared,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("subject", Text),
    Column("payload", JSONB, nullable=False, server_default=text("'{}'")),
    Column("body", LargeBinary),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("due", _TIME),
    Column("reason", Text),
    Column("again", _TIME),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("fence", BigInteger, nullable=False, server_default=text("0")),
    Column("leased_until", _TIME),
    Column("worker", Text),
    Column("cause", Text),
    Column("error", Text),
    Column("history", JSONB, nullable=False, server_default=text("'[]'")),
    Column("traceparent", Text),
    Column("causationid", Text),
    Column("created", _TIME, nullable=False),
    Column("started", _TIME),
    Column("finished", _TIME),
    Index("ix_work_open", "kind", "key", unique=True, postgresql_where=text("state = 'open'")),
    Index("ix_work_due", "kind", "due", postgresql_where=text("state = 'open'")),
    Index("ix_work_dead_key", "kind", "key", postgresql_where=text("state = 'dead'")),
    Index("ix_work_dead", "cause", "created", "id", postgresql_where=text("state = 'dead'")),
    Index("ix_work_listed", "state", "kind", "created", "id"),
    Index("ix_work_finished", "finished", postgresql_where=text("state NOT IN ('open', 'dead')")),
)

# The purchases whose customer is forgotten, and since when nothing of theirs is kept here. `keyturn.erasing`.
ERASURES = Table(
    "erasures",
    _shared,
    Column("purchase_id", Uuid, primary_key=True),
    Column("customer_id", Uuid, nullable=False),
    Column("asked", _TIME, nullable=False),
    Column("done", _TIME),
    Index("ix_erasures_open", "customer_id", "purchase_id", postgresql_where=text("done IS NULL")),
)

# What tells at the start that a key is not the one that was used under this id before. Tells nothing of the key.
KEY_CHECKS = Table(
    "key_checks",
    _shared,
    Column("ring", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("check_value", LargeBinary, nullable=False),
)


def new_metadata() -> MetaData:
    """A service's metadata: the naming convention, and outbox, inbox, work, erasures and key checks in it."""
    metadata = MetaData(naming_convention=_NAMES)
    for table in (OUTBOX, INBOX, WORK, ERASURES, KEY_CHECKS):
        table.to_metadata(metadata)
    return metadata


class TypedBase:
    """What an annotation in a service's tables means: `class Base(TypedBase, DeclarativeBase): metadata = ...`."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: _TIME,
        UUID: Uuid,
        str: Text,
        int: BigInteger,
        bool: Boolean,
        bytes: LargeBinary,
        dict: JSONB,
        list: JSONB,
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        list[str]: JSONB,
        dict[str, str]: JSONB,
    }
