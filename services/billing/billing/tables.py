"""The tables of billing, and which class of `domain.py` each row is. Only `repository` imports this."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Interval,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import registry

from billing import collecting, domain, reversals
from billing import invoices as billed
from billing import mandates as saved
from billing import subscriptions as subscribed
from billing.plan_changes import PlanChange
from keyturn.database import new_metadata

metadata = new_metadata()


def _id(name: str = "id") -> Column[object]:
    return Column(name, Uuid, primary_key=True)


def _text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def _json(name: str) -> Column[object]:
    return Column(name, JSONB, nullable=False)


def _when(name: str, *, null: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=null)


def _amount(name: str = "amount") -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _of(name: str, other: str, *, null: bool = False) -> Column[object]:
    return Column(name, ForeignKey(other), nullable=null)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


products = Table(
    "products",
    metadata,
    Column("slug", Text, primary_key=True),
    _text("name"),
    _text("description"),
    _text("kind"),
    _text("blueprint"),
    _json("policy"),
    Column("position", Integer, nullable=False),
    _flag("is_default"),
    _flag("active"),
    Index("one_default_product", "is_default", unique=True, postgresql_where=text("is_default")),
)

# What was applied, in this order: the last one is what is sold.
catalogs = Table(
    "catalogs",
    metadata,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    Column("digest", Text, nullable=False, index=True),
    _text("content"),
    _when("applied_at"),
    _text("applied_by"),
    _text("reason", null=True),
)

plans = Table(
    "plans",
    metadata,
    Column("slug", Text, primary_key=True),
    _of("product", "products.slug"),
    Column("key", Integer, nullable=True, unique=True),  # the documented integer
    _text("name"),
    _json("limits"),
    Column("position", Integer, nullable=False),  # the first plan of a product is its default
    _flag("active"),
)

prices = Table(
    "prices",
    metadata,
    _id(),
    _of("plan", "plans.slug"),
    _text("cycle"),
    _text("currency"),
    _amount(),
    _amount("setup_fee"),
    Column("trial_days", Integer, nullable=False),
    _text("collection"),
    _json("ids"),
    Column("position", Integer, nullable=False),
    _flag("active"),
    _when("created_at"),
    _when("replaced_at", null=True),
    # A price that people bought is never changed: another amount, fee or id is another row. One of them is on offer.
    Index("one_active_price", "plan", "cycle", "currency", unique=True, postgresql_where=text("active")),
)

customers = Table(
    "customers",
    metadata,
    _id(),
    Column("email", Text, nullable=False, unique=True),
    _text("name", null=True),
    _text("locale", null=True),
    _text("timezone", null=True),
    _when("created_at"),
    _when("erasure_wanted_at", null=True),  # the customer asked for it
    _when("erased_at", null=True),
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
    _id(),
    _of("customer_id", "customers.id"),
    _of("product", "products.slug"),
    _of("plan", "plans.slug"),
    _of("price_id", "prices.id"),
    _text("cycle"),
    _amount(),
    _amount("setup_fee"),
    Column("trial_days", Integer, nullable=False),
    _text("currency"),
    _text("provider", null=True),
    _flag("livemode"),
    _json("contact"),
    _json("parameters"),
    _text("success_url"),
    _text("cancel_url"),
    _text("request_hash"),
    _when("opened_at"),
    _when("expires_at"),
    _text("state"),
    _when("state_since"),
    _amount("refunded"),
    _amount("discount"),
    Column("coupon", JSONB(none_as_null=True), nullable=True),  # its terms when the purchase was opened
    _amount("tax_added"),
    _json("tax"),
    _json("buyer"),
    _when("erased_at", null=True),  # its customer is forgotten: nothing is owed or given any more
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
    _when("claimed_at"),
)

plan_changes = Table(
    "plan_changes",
    metadata,
    _id(),
    _of("purchase_id", "purchases.id"),
    _text("state"),
    _when("state_since"),
    _text("from_plan"),
    _text("to_plan"),
    _of("price_id", "prices.id"),
    _amount("price"),
    _amount("unused"),
    _amount("cost"),
    _json("tax"),
    _amount("tax_added"),
    _text("currency"),
    Column("period", Integer, nullable=False),
    _when("until"),
    _when("quoted_at"),
    _when("expires_at"),
    _json("limits_before"),
    Index("plan_changes_by_purchase", "purchase_id", "quoted_at"),
    # One at a time.
    Index("one_plan_change", "purchase_id", unique=True, postgresql_where=text("state IN ('open', 'applying')")),
)

checkouts = Table(
    "checkouts",
    metadata,
    _id(),
    _of("purchase_id", "purchases.id"),
    Column("attempt", Integer, nullable=False),
    Column("period", Integer, nullable=False),  # which period it pays: 1 is the first, or the only one
    _of("change_id", "plan_changes.id", null=True),
    _amount(),
    _text("provider"),
    _text("state"),
    _text("provider_id", null=True),
    _text("url", null=True),
    _json("client"),
    _when("opened_at"),
    _when("expires_at"),
    Column("looks", Integer, nullable=False),
    _when("next_look_at", null=True),
    UniqueConstraint("purchase_id", "attempt"),
    UniqueConstraint("provider", "provider_id"),
    Index("checkouts_to_look_at", "next_look_at", postgresql_where=text("next_look_at IS NOT NULL")),
)

payments = Table(
    "payments",
    metadata,
    _id(),
    _text("provider"),
    _text("payment_key"),
    _amount(),
    _text("currency"),
    Column("livemode", Boolean, nullable=True),
    _text("state"),
    _text("found_by"),
    _json("refs"),
    _text("reference", null=True),
    _of("purchase_id", "purchases.id", null=True),
    Column("period", Integer, nullable=True),  # which one it paid
    _of("change_id", "plan_changes.id", null=True),
    _when("pays_from", null=True),
    _when("pays_until", null=True),
    _text("review_reason", null=True),
    _when("recorded_at"),
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
    _of("payment_id", "payments.id"),
)

refunds = Table(
    "refunds",
    metadata,
    _id(),
    _text("provider"),
    _text("refund_id"),
    Column("payment_id", ForeignKey("payments.id"), nullable=False, index=True),
    _amount(),
    _text("currency"),
    _flag("failed"),
    _when("booked_at"),
    Column("looks", Integer, nullable=False),
    _when("next_look_at", null=True),
    UniqueConstraint("provider", "refund_id"),
    Index("refunds_to_look_at", "next_look_at", postgresql_where=text("next_look_at IS NOT NULL")),
)

refund_requests = Table(
    "refund_requests",
    metadata,
    _id(),
    Column("purchase_id", ForeignKey("purchases.id"), nullable=False, index=True),
    Column("payment_id", ForeignKey("payments.id"), nullable=False, index=True),
    _amount(),
    _text("state"),
    _text("refund_id", null=True),
    _when("requested_at"),
)

disputes = Table(
    "disputes",
    metadata,
    _id(),
    _text("provider"),
    _text("dispute_id"),
    Column("payment_id", ForeignKey("payments.id"), nullable=False, index=True),
    _text("state"),
    _amount(),
    _text("currency"),
    _text("reason", null=True),
    _amount("deducted"),
    _when("told_at"),
    Column("looks", Integer, nullable=False),
    _when("next_look_at", null=True),
    UniqueConstraint("provider", "dispute_id"),
    Index("disputes_to_look_at", "next_look_at", postgresql_where=text("next_look_at IS NOT NULL")),
)

coupons = Table(
    "coupons",
    metadata,
    Column("code", Text, primary_key=True),
    _json("terms"),
    _text("source"),
    _amount("redeemed"),  # how many redemptions stand: kept by whoever adds one or gives one back
    _when("created_at"),
    _when("ended_at", null=True),
)

# A purchase redeems its coupon once, and gives it back when it ends unpaid.
redemptions = Table(
    "redemptions",
    metadata,
    Column("purchase_id", ForeignKey("purchases.id"), primary_key=True),
    _of("coupon", "coupons.code"),
    _of("customer_id", "customers.id"),
    _when("redeemed_at"),
    _when("given_back_at", null=True),
    Index("redemptions_by_coupon", "coupon", "redeemed_at", "purchase_id"),
    Index("redemptions_by_customer", "coupon", "customer_id", postgresql_where=text("given_back_at IS NULL")),
)

# Up to when a provider's lists were read for what no webhook told of.
sweeps = Table(
    "sweeps",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("kind", Text, primary_key=True),  # of `providers.Reversal`
    _when("swept_to"),
)

entitlements = Table(
    "entitlements",
    metadata,
    Column("purchase_id", ForeignKey("purchases.id"), primary_key=True),
    Column("version", Integer, nullable=False),
    _text("wanted"),
    _json("reasons"),
    _text("product"),
    _text("plan"),
    _text("blueprint"),
    _json("parameters"),
    _json("limits"),
    _json("contact"),
    _when("delete_after", null=True),
    _when("changed_at"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("purchase_id", ForeignKey("purchases.id"), primary_key=True),
    _text("state"),
    _when("state_since"),
    _when("began_at"),
    _text("cycle"),
    _of("plan", "plans.slug"),
    _of("price_id", "prices.id"),
    _text("collection"),
    _amount("price"),
    _text("zone", null=True),
    _when("anchor", null=True),
    Column("number", Integer, nullable=False),
    _when("starts_at", null=True),
    _when("ends_at", null=True),
    _when("held_since", null=True),
    _flag("cancel_at_period_end"),
    _when("resumes_at", null=True),
    _flag("resume_told"),
    _text("ended_because", null=True),
    _when("consequence_at", null=True),
    _flag("warned"),
    _when("next_step_at", null=True),
    Index("subscriptions_by_time", "began_at", "purchase_id"),
    Index("subscriptions_by_state", "state", "began_at", "purchase_id"),
    Index("subscriptions_to_step", "next_step_at", postgresql_where=text("next_step_at IS NOT NULL")),
)

# What providers collect by themselves: of each purchase one, and of each of theirs one purchase.
collected = Table(
    "collected",
    metadata,
    Column("purchase_id", ForeignKey("purchases.id"), primary_key=True),
    _text("provider"),
    _text("provider_id"),
    _text("status"),
    _when("period_until", null=True),
    _flag("cancels"),
    _flag("told"),
    Column("looks", Integer, nullable=False),
    _when("next_look_at", null=True),
    UniqueConstraint("provider", "provider_id"),
    Index("collected_to_look_at", "next_look_at", postgresql_where=text("next_look_at IS NOT NULL")),
)

# Rule 4: a period is opened once, and for one payment, whichever of several facts says so.
periods = Table(
    "periods",
    metadata,
    Column("purchase_id", ForeignKey("subscriptions.purchase_id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    _when("starts_at"),
    _when("ends_at"),
    Column("lasts", Interval, nullable=False),
    _amount("price"),
    Column("payment_id", ForeignKey("payments.id"), nullable=False, unique=True),
    _when("opened_at"),
)

renewals = Table(
    "renewals",
    metadata,
    Column("purchase_id", ForeignKey("subscriptions.purchase_id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    _of("price_id", "prices.id"),
    _amount(),
    _amount("discount"),
    _amount("setup_fee"),
    _amount("tax_added"),
    _amount("credited"),
    _text("currency"),
    _text("state"),
    _when("opened_at"),
    Column("attempts", Integer, nullable=False),  # to charge it
    _when("charge_at", null=True),
    Index("one_open_renewal", "purchase_id", unique=True, postgresql_where=text("state = 'open'")),
)

# Who sells, and at which taxes: as in the catalogue that is sold.
shop = Table(
    "shop",
    metadata,
    Column("one", Boolean, primary_key=True),
    _json("seller"),
    _json("taxes"),
    CheckConstraint("one", name="only_one"),
)

# How many numbers each series has given: whoever gives one holds the row, so that none is left out.
invoice_series = Table(
    "invoice_series", metadata, Column("series", Text, primary_key=True), Column("last", Integer, nullable=False)
)

# What a customer has with us in a currency: the sum of their credits, kept by whoever adds one.
credit_balances = Table(
    "credit_balances",
    metadata,
    Column("customer_id", ForeignKey("customers.id"), primary_key=True),
    Column("currency", Text, primary_key=True),
    _amount("balance"),
    CheckConstraint("balance >= 0", name="not_negative"),
)

credit_entries = Table(
    "credits",
    metadata,
    _id(),
    _of("customer_id", "customers.id"),
    _text("currency"),
    _amount(),  # less than nothing: used
    Column("source", Text, nullable=False, unique=True),
    _text("reason", null=True),
    _of("purchase_id", "purchases.id", null=True),
    _when("at"),
    Index("credits_by_customer", "customer_id", "at", "id"),
)

invoices = Table(
    "invoices",
    metadata,
    _id(),
    _text("kind"),
    Column("number", Text, nullable=False, unique=True),
    _of("purchase_id", "purchases.id"),
    _of("customer_id", "customers.id"),
    _text("source"),
    Column("period", Integer, nullable=True),
    _flag("livemode"),
    _text("currency"),
    _amount("net"),
    _amount("tax"),
    _amount("total"),
    _amount("credited"),
    _text("state"),
    _when("issued_at"),
    _when("due_at"),
    _when("paid_at", null=True),
    _of("payment_id", "payments.id", null=True),
    Column("corrects", ForeignKey("invoices.number"), nullable=True, index=True),
    _json("seller"),
    _json("buyer"),
    _json("lines"),
    # Rule 4: what is billed is billed once, whichever of several facts says so.
    Index("one_standing_invoice", "purchase_id", "source", unique=True, postgresql_where=text("state <> 'void'")),
    Index("invoices_by_time", "issued_at", "id"),
    Index("invoices_by_kind", "kind", "state", "issued_at", "id"),
    Index("invoices_by_state", "state", "issued_at", "id"),
    Index("invoices_by_purchase", "purchase_id", "issued_at", "id"),
    Index("invoices_by_customer", "customer_id", "issued_at", "id"),
)

# When a scheduled run is due next, and by what that was worked out.
schedules = Table(
    "schedules", metadata, Column("name", Text, primary_key=True), _text("cron"), _text("zone"), _when("next_at")
)

# Once for each time it is due, over all replicas; and one of a kind at a time.
runs = Table(
    "runs",
    metadata,
    _id(),
    _text("name"),
    _when("scheduled_for", null=True),
    _text("started_by"),
    _text("reason", null=True),
    _flag("dry_run"),
    _when("started_at"),
    _when("planned_at", null=True),
    _when("finished_at", null=True),
    _text("error", null=True),
    _json("counts"),
    UniqueConstraint("name", "scheduled_for"),
    Index("one_run_under_way", "name", "dry_run", unique=True, postgresql_where=text("finished_at IS NULL")),
    Index("runs_by_time", "started_at", "id"),
    Index("runs_by_name", "name", "started_at", "id"),
)

# Its report, a customer each.
run_parts = Table(
    "run_parts",
    metadata,
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("customer", Text, primary_key=True),
    _text("state"),
    _json("did"),
    _text("error", null=True),
    Index("run_parts_due", "run_id", "customer", postgresql_where=text("state = 'due'")),
)

mandates = Table(
    "mandates",
    metadata,
    Column("purchase_id", ForeignKey("subscriptions.purchase_id"), primary_key=True),
    _text("provider"),
    _text("customer_id"),
    _text("method_id"),
    _when("saved_at"),
    _text("refused", null=True),
)

# What a mandate is charged: the intent is here before the provider is asked.
charges = Table(
    "charges",
    metadata,
    _id(),
    _of("purchase_id", "subscriptions.purchase_id"),
    Column("period", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    _amount(),
    _text("currency"),
    _text("provider"),
    _text("customer_id"),
    _text("method_id"),
    _text("state"),
    _text("provider_id", null=True),
    _text("code", null=True),
    _when("asked_at"),
    _when("decided_at", null=True),
    UniqueConstraint("purchase_id", "period", "attempt"),
    UniqueConstraint("provider", "provider_id"),
    Index("one_open_charge", "purchase_id", unique=True, postgresql_where=text("state = 'asked'")),  # one at a time
)

# Which service has erased what it kept of a purchase.
erasure_reports = Table(
    "erasure_reports",
    metadata,
    Column("purchase_id", ForeignKey("purchases.id"), primary_key=True),
    Column("service", Text, primary_key=True),
    _when("at"),
)

# What was told about a purchase and changed nothing: a declined attempt, a warning, a refused transition.
notices = Table(
    "notices",
    metadata,
    _id(),
    Column("purchase_id", ForeignKey("purchases.id"), nullable=False),
    _text("kind"),
    _json("detail"),
    _when("recorded_at"),
    Index("notices_by_purchase", "purchase_id", "recorded_at"),
)

_mapper = registry(metadata=metadata)
for _class, _table in (
    (domain.Customer, customers),
    (domain.Purchase, purchases),
    (domain.Checkout, checkouts),
    (domain.Payment, payments),
    (reversals.Refund, refunds),
    (reversals.RefundRequest, refund_requests),
    (reversals.Dispute, disputes),
    (domain.Entitlement, entitlements),
    (subscribed.Subscription, subscriptions),
    (collecting.Collected, collected),
    (subscribed.Period, periods),
    (subscribed.Renewal, renewals),
    (PlanChange, plan_changes),
    (billed.Invoice, invoices),
    (saved.Mandate, mandates),
    (saved.Charge, charges),
):
    _mapper.map_imperatively(_class, _table)
