"""Customers, what they bought, how it is paid, and what they are entitled to."""

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, Table, Text, UniqueConstraint, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from billing.tables.columns import amount, flag, id_, json_, metadata, of, text_, when

customers = Table(
    "customers",
    metadata,
    id_(),
    Column("email", Text, nullable=False, unique=True),
    text_("name", null=True),
    text_("locale", null=True),
    text_("timezone", null=True),
    when("created_at"),
    when("erasure_wanted_at", null=True),  # the customer asked for it
    when("erased_at", null=True),
    Index("customers_by_time", "created_at", "id"),
    Index(
        "customers_to_erase",
        "erasure_wanted_at",
        "id",
        postgresql_where=text("erasure_wanted_at IS NOT NULL AND erased_at IS NULL"),
    ),
)

purchases = Table(
    "purchases",
    metadata,
    id_(),
    of("customer_id", "customers.id"),
    of("product", "products.slug"),
    of("plan", "plans.slug"),
    of("price_id", "prices.id"),
    text_("cycle"),
    amount(),
    amount("setup_fee"),
    Column("trial_days", Integer, nullable=False),
    text_("currency"),
    text_("provider", null=True),
    flag("livemode"),
    json_("contact"),
    json_("parameters"),
    text_("success_url"),
    text_("cancel_url"),
    text_("request_hash"),
    when("opened_at"),
    when("expires_at"),
    text_("state"),
    when("state_since"),
    amount("refunded"),
    amount("discount"),
    Column("coupon", JSONB(none_as_null=True), nullable=True),  # its terms when the purchase was opened
    amount("tax_added"),
    json_("tax"),
    json_("buyer"),
    when("erased_at", null=True),  # its customer is forgotten: nothing is owed or given any more
    Index("purchases_by_time", "opened_at", "id"),
    Index("purchases_by_state", "state", "opened_at", "id"),
    Index("purchases_by_customer", "customer_id", "opened_at", "id"),
    Index("purchases_to_expire", "expires_at", postgresql_where=text("state = 'pending'")),
)

# A customer has one trial, whatever is tried and when.
trials = Table(
    "trials",
    metadata,
    Column("customer_id", ForeignKey("customers.id"), primary_key=True),
    Column("purchase_id", Uuid, nullable=False),  # which is written after it
    when("claimed_at"),
)

# By a keyed digest of their address: who has had theirs and was forgotten.
used_trials = Table("used_trials", metadata, Column("digest", LargeBinary, primary_key=True))

checkouts = Table(
    "checkouts",
    metadata,
    id_(),
    of("purchase_id", "purchases.id"),
    Column("attempt", Integer, nullable=False),
    Column("period", Integer, nullable=False),  # which period it pays: 1 is the first, or the only one
    of("change_id", "plan_changes.id", null=True),
    amount(),
    text_("provider"),
    text_("state"),
    text_("provider_id", null=True),
    text_("url", null=True),
    json_("client"),
    when("opened_at"),
    when("expires_at"),
    Column("looks", Integer, nullable=False),
    when("next_look_at", null=True),
    UniqueConstraint("purchase_id", "attempt"),
    UniqueConstraint("provider", "provider_id"),
    Index("checkouts_to_look_at", "next_look_at", postgresql_where=text("next_look_at IS NOT NULL")),
)

entitlements = Table(
    "entitlements",
    metadata,
    Column("purchase_id", ForeignKey("purchases.id"), primary_key=True),
    Column("version", Integer, nullable=False),
    text_("wanted"),
    json_("reasons"),
    text_("product"),
    text_("plan"),
    text_("blueprint"),
    json_("parameters"),
    json_("limits"),
    json_("contact"),
    when("delete_after", null=True),
    when("changed_at"),
)

# Which service has erased what it kept of a purchase.
erasure_reports = Table(
    "erasure_reports",
    metadata,
    Column("purchase_id", ForeignKey("purchases.id"), primary_key=True),
    Column("service", Text, primary_key=True),
    when("at"),
)

# What was told about a purchase and changed nothing: a declined attempt, a warning, a refused transition.
notices = Table(
    "notices",
    metadata,
    id_(),
    Column("purchase_id", ForeignKey("purchases.id"), nullable=False),
    text_("kind"),
    json_("detail"),
    when("recorded_at"),
    Index("notices_by_purchase", "purchase_id", "recorded_at"),
)
