"""The notifier's tables: who to write to, what to tell them, and every attempt to do so."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from keyturn.database import TypedBase, new_metadata
from notifier.domain import Outcome, State, Template


class Base(TypedBase, DeclarativeBase):
    metadata = new_metadata()


class Contact(Base):
    """The customer of one purchase, as billing last told us. `version` is the entitlement's; 0 is the order's own."""

    __tablename__ = "contacts"

    purchase_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    email: Mapped[str]
    name: Mapped[str | None]
    locale: Mapped[str | None]
    timezone: Mapped[str | None]
    product: Mapped[str]
    store_name: Mapped[str | None]
    amount: Mapped[int | None]
    currency: Mapped[str | None]
    deletes_at: Mapped[datetime | None]  # where it is suspended because nobody paid


class Message(Base):
    """One mail about one fact; `fact` names what it is about, so that no fact is told twice. The setup link's token is
    here as ciphertext only, and no mail is stored: it is built anew for each attempt."""

    __tablename__ = "messages"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    subject: Mapped[str]
    purchase_id: Mapped[UUID | None]
    template: Mapped[Template] = mapped_column(Text)
    fact: Mapped[str]
    state: Mapped[State] = mapped_column(Text, server_default=text("'pending'"))
    details: Mapped[dict[str, Any]]
    recipient: Mapped[str | None]
    token: Mapped[str | None]
    credentials: Mapped[str | None]
    link_number: Mapped[int | None] = mapped_column(Integer)
    expires_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    code: Mapped[str | None]
    reason: Mapped[str | None]
    created: Mapped[datetime]
    finished: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("template", "fact"),
        Index("ix_messages_purchase_id", "purchase_id", "id"),
        Index("ix_messages_state", "state", "id"),
    )


class Attempt(Base):
    """Written before the mail server is asked. One without an outcome was interrupted: whether the server took the
    mail is not known, and the next attempt sends it again under the same Message-ID."""

    __tablename__ = "attempts"

    message_id: Mapped[UUID] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    started: Mapped[datetime]
    ended: Mapped[datetime | None]
    outcome: Mapped[Outcome | None] = mapped_column(Text)
    code: Mapped[str | None]
    reply: Mapped[str | None]
