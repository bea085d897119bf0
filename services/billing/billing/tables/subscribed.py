"""Subscriptions, their periods, and what is charged for them."""

from sqlalchemy import Column, ForeignKey, Index, Integer, Interval, Table, UniqueConstraint, text

from billing.tables.columns import amount, flag, id_, json_, metadata, of, text_, when

plan_changes = Table(
    "plan_changes",
    metadata,
    id_(),
    of("purchase_id", "purchases.id"),
    text_("state"),
    when("state_since"),
    text_("from_plan"),
    text_("to_plan"),
    of("price_id", "prices.id"),
    amount("price"),
    amount("unused"),
    amount("cost"),
    json_("tax"),
    amount("tax_added"),
    text_("currency"),
    Column("period", Integer, nullable=False),
    when("until"),
    when("quoted_at"),
    when("expires_at"),
    json_("limits_before"),
    Index("plan_changes_by_purchase", "purchase_id", "quoted_at"),
    # One at a time.
    Index("one_plan_change", "purchase_id", unique=True, postgresql_where=text("state IN ('open', 'applying')")),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("purchase_id", ForeignKey("purchases.id"), primary_key=True),
    text_("state"),
    when("state_since"),
    when("began_at"),
    text_("cycle"),
    of("plan", "plans.slug"),
    of("price_id", "prices.id"),
    text_("collection"),
    amount("price"),
    text_("zone", null=True),
    when("anchor", null=True),
    Column("number", Integer, nullable=False),
    when("starts_at", null=True),
    when("ends_at", null=True),
    when("held_since", null=True),
    flag("cancel_at_period_end"),
    when("resumes_at", null=True),
    flag("resume_told"),
    text_("ended_because", null=True),
    when("consequence_at", null=True),
    flag("warned"),
    when("next_step_at", null=True),
    Index("subscriptions_by_time", "began_at", "purchase_id"),
    Index("subscriptions_by_state", "state", "began_at", "purchase_id"),
    Index(
        "subscriptions_collected",
        "purchase_id",
        postgresql_where=text("collection = 'provider' AND state <> 'ended'"),
    ),
    Index("subscriptions_to_step", "next_step_at", postgresql_where=text("next_step_at IS NOT NULL")),
)

# What providers collect by themselves: of each purchase one, and of each of theirs one purchase.
collected = Table(
    "collected",
    metadata,
    Column("purchase_id", ForeignKey("purchases.id"), primary_key=True),
    text_("provider"),
    text_("provider_id"),
    text_("status"),
    when("period_until", null=True),
    flag("cancels"),
    flag("told"),
    Column("looks", Integer, nullable=False),
    when("next_look_at", null=True),
    UniqueConstraint("provider", "provider_id"),
    Index("collected_to_look_at", "next_look_at", postgresql_where=text("next_look_at IS NOT NULL")),
)

# Rule 4: a period is opened once, and for one payment, whichever of several facts says so.
periods = Table(
    "periods",
    metadata,
    Column("purchase_id", ForeignKey("subscriptions.purchase_id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    when("starts_at"),
    when("ends_at"),
    Column("lasts", Interval, nullable=False),
    amount("price"),
    Column("payment_id", ForeignKey("payments.id"), nullable=False, unique=True),
    when("opened_at"),
)

renewals = Table(
    "renewals",
    metadata,
    Column("purchase_id", ForeignKey("subscriptions.purchase_id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    of("price_id", "prices.id"),
    amount(),
    amount("discount"),
    amount("setup_fee"),
    amount("tax_added"),
    amount("credited"),
    text_("currency"),
    text_("state"),
    when("opened_at"),
    Column("attempts", Integer, nullable=False),  # to charge it
    when("charge_at", null=True),
    Index("one_open_renewal", "purchase_id", unique=True, postgresql_where=text("state = 'open'")),
)

mandates = Table(
    "mandates",
    metadata,
    Column("purchase_id", ForeignKey("subscriptions.purchase_id"), primary_key=True),
    text_("provider"),
    text_("customer_id"),
    text_("method_id"),
    when("saved_at"),
    text_("refused", null=True),
)

# What a mandate is charged: the intent is here before the provider is asked.
charges = Table(
    "charges",
    metadata,
    id_(),
    of("purchase_id", "subscriptions.purchase_id"),
    Column("period", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    amount(),
    text_("currency"),
    text_("provider"),
    text_("customer_id"),
    text_("method_id"),
    text_("state"),
    text_("provider_id", null=True),
    text_("code", null=True),
    when("asked_at"),
    when("decided_at", null=True),
    UniqueConstraint("purchase_id", "period", "attempt"),
    UniqueConstraint("provider", "provider_id"),
    Index("one_open_charge", "purchase_id", unique=True, postgresql_where=text("state = 'asked'")),  # one at a time
)
