"""Money that came, and what took it back."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table, Text, UniqueConstraint, text

from billing.tables.columns import amount, flag, id_, json_, metadata, of, text_, when

payments = Table(
    "payments",
    metadata,
    id_(),
    text_("provider"),
    text_("payment_key"),
    amount(),
    text_("currency"),
    Column("livemode", Boolean, nullable=True),
    text_("state"),
    text_("found_by"),
    json_("refs"),
    text_("reference", null=True),
    of("purchase_id", "purchases.id", null=True),
    Column("period", Integer, nullable=True),  # which one it paid
    of("change_id", "plan_changes.id", null=True),
    when("pays_from", null=True),
    when("pays_until", null=True),
    text_("review_reason", null=True),
    when("recorded_at"),
    UniqueConstraint("provider", "payment_key"),  # rule 5: one record, whoever finds the payment
    # Rule 4: a purchase is activated once, and a period paid once, whatever arrives.
    Index("one_matched_payment", "purchase_id", "period", unique=True, postgresql_where=text("state = 'matched'")),
    Index(
        "one_payment_of_change",
        "change_id",
        unique=True,
        postgresql_where=text("state = 'matched' AND change_id IS NOT NULL"),
    ),
    Index("payments_by_purchase", "purchase_id"),
    Index("payments_by_time", "recorded_at", "id"),
    Index("payments_by_state", "state", "recorded_at", "id"),
)

payment_refs = Table(
    "payment_refs",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    of("payment_id", "payments.id"),
)

refunds = Table(
    "refunds",
    metadata,
    id_(),
    text_("provider"),
    text_("refund_id"),
    Column("payment_id", ForeignKey("payments.id"), nullable=False, index=True),
    amount(),
    text_("currency"),
    flag("failed"),
    when("booked_at"),
    Column("looks", Integer, nullable=False),
    when("next_look_at", null=True),
    UniqueConstraint("provider", "refund_id"),
    Index("refunds_to_look_at", "next_look_at", postgresql_where=text("next_look_at IS NOT NULL")),
)

refund_requests = Table(
    "refund_requests",
    metadata,
    id_(),
    Column("purchase_id", ForeignKey("purchases.id"), nullable=False, index=True),
    Column("payment_id", ForeignKey("payments.id"), nullable=False, index=True),
    amount(),
    amount("credit"),
    text_("state"),
    text_("refund_id", null=True),
    when("requested_at"),
)

disputes = Table(
    "disputes",
    metadata,
    id_(),
    text_("provider"),
    text_("dispute_id"),
    Column("payment_id", ForeignKey("payments.id"), nullable=False, index=True),
    text_("state"),
    amount(),
    text_("currency"),
    text_("reason", null=True),
    amount("deducted"),
    when("told_at"),
    Column("looks", Integer, nullable=False),
    when("next_look_at", null=True),
    UniqueConstraint("provider", "dispute_id"),
    Index("disputes_to_look_at", "next_look_at", postgresql_where=text("next_look_at IS NOT NULL")),
)

# Up to when a provider's lists were read for what no webhook told of.
sweeps = Table(
    "sweeps",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("kind", Text, primary_key=True),  # of `providers.Reversal`
    when("swept_to"),
)
