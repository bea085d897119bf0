"""The tables of the gateway. Only `repository` imports this."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Double, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from keyturn.database import TypedBase, new_metadata


class Base(TypedBase, DeclarativeBase):
    metadata = new_metadata()


# --- journeys: a read model, fed by every event


class JourneyEventRow(Base):
    """One event as it arrived. `id` is the journey's order, and what a browser names as Last-Event-ID."""

    __tablename__ = "journey_events"
    __table_args__ = (
        Index(
            "ix_journey_events_purchase_id_id", "purchase_id", "id", postgresql_where=text("purchase_id IS NOT NULL")
        ),
        Index("ix_journey_events_cause", "cause", postgresql_where=text("cause IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    event_id: Mapped[UUID] = mapped_column(unique=True)
    purchase_id: Mapped[UUID | None]
    type: Mapped[str]
    publisher: Mapped[str]
    subject: Mapped[str]
    time: Mapped[datetime]
    cause: Mapped[UUID | None]
    data: Mapped[dict[str, Any]]
    received: Mapped[datetime]


class JourneyRow(Base):
    """One purchase as its events add up. `facts` is what `facts.merge` keeps; the rest is read from it."""

    __tablename__ = "journeys"
    __table_args__ = (Index("ix_journeys_created", "created"),)

    purchase_id: Mapped[UUID] = mapped_column(primary_key=True)
    status: Mapped[str]
    purchase_status: Mapped[str]
    domain: Mapped[str | None]
    facts: Mapped[dict[str, Any]]
    last_event: Mapped[int] = mapped_column(server_default=text("0"))
    created: Mapped[datetime]
    updated: Mapped[datetime]


class JourneyRefRow(Base):
    """A provider's id (order, session, payment) that leads to the purchase."""

    __tablename__ = "journey_refs"

    ref: Mapped[str] = mapped_column(primary_key=True)
    purchase_id: Mapped[UUID] = mapped_column(index=True)


# --- customers who sign in


class SignInLinkRow(Base):
    """A link that was mailed to a customer: the SHA-256 of its token. Whoever uses it takes it away."""

    __tablename__ = "sign_in_links"

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(index=True)
    created: Mapped[datetime]
    expires: Mapped[datetime] = mapped_column(index=True)


class SessionRow(Base):
    """One token of one browser: its SHA-256. `signed_in` joins those that replaced each other."""

    __tablename__ = "sessions"
    __table_args__ = (Index("ix_sessions_customer_id_signed_in", "customer_id", "signed_in"),)

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID]
    signed_in: Mapped[datetime]
    made: Mapped[datetime]
    used: Mapped[datetime]
    expires: Mapped[datetime] = mapped_column(index=True)


# --- operators: who may use the operator API, and what was done with it


class OperatorRow(Base):
    __tablename__ = "operators"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    created: Mapped[datetime]


class TokenRow(Base):
    """An API token: its SHA-256, never itself. `hint` is its first characters, for people to tell tokens apart."""

    __tablename__ = "tokens"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    operator_id: Mapped[UUID] = mapped_column(ForeignKey("operators.id"), index=True)
    name: Mapped[str]
    role: Mapped[str]
    hash: Mapped[bytes] = mapped_column(unique=True)
    hint: Mapped[str]
    created: Mapped[datetime]
    expires: Mapped[datetime | None]
    last_used: Mapped[datetime | None]
    revoked: Mapped[datetime | None]


class AuditRow(Base):
    """One thing an operator did. Rows are added and never changed."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_actor_id", "actor", "id"),
        Index("ix_audit_action_id", "action", "id"),
        Index("ix_audit_target_id", "target", "id"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    event_id: Mapped[UUID] = mapped_column(unique=True)
    time: Mapped[datetime]
    service: Mapped[str]
    actor: Mapped[str]
    role: Mapped[str]
    action: Mapped[str]
    target: Mapped[str]
    subject: Mapped[str]
    reason: Mapped[str | None]
    before: Mapped[dict[str, Any]]
    after: Mapped[dict[str, Any]]


# --- webhooks: what providers sent, as they sent it


class WebhookRow(Base):
    """`digest` (SHA-256 of the body) stops what Razorpay's event id cannot: that id is a header nobody signs."""

    __tablename__ = "webhooks"
    __table_args__ = (
        UniqueConstraint("provider", "event_id"),
        UniqueConstraint("provider", "digest", name="uq_webhooks_digest"),
        Index("ix_webhooks_state_provider_id", "state", "provider", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    provider: Mapped[str]
    event_id: Mapped[str]
    type: Mapped[str]
    livemode: Mapped[bool | None]
    api_version: Mapped[str | None]
    headers: Mapped[dict[str, str]]
    body: Mapped[bytes]
    digest: Mapped[bytes]
    received: Mapped[datetime]
    state: Mapped[str]  # read, ignored, unreadable
    cause: Mapped[str | None]
    reprocessed: Mapped[datetime | None]


# --- limits: what keeps repeated requests apart from too many


class CheckoutKeyRow(Base):
    """An Idempotency-Key and the purchase it stands for. Both the key and the request are kept as digests."""

    __tablename__ = "checkout_keys"

    key: Mapped[bytes] = mapped_column(primary_key=True)
    request: Mapped[bytes]
    purchase_id: Mapped[UUID]
    created: Mapped[datetime] = mapped_column(index=True)


class RateBucketRow(Base):
    """A token bucket, shared by all replicas. Unlogged: a crash forgets it, and nothing waits for the disk."""

    __tablename__ = "rate_buckets"
    __table_args__ = (Index("ix_rate_buckets_updated", "updated"), {"prefixes": ["UNLOGGED"]})

    key: Mapped[str] = mapped_column(primary_key=True)
    tokens: Mapped[float] = mapped_column(Double)
    granted: Mapped[bool]
    updated: Mapped[datetime]
