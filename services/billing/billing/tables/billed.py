"""Invoices, who sells, and the credit of customers."""

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, Table, Text, text

from billing.tables.columns import amount, flag, id_, json_, metadata, of, text_, when

# Who sells, and at which taxes: as in the catalogue that is sold.
shop = Table(
    "shop",
    metadata,
    Column("one", Boolean, primary_key=True),
    json_("seller"),
    json_("taxes"),
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
    amount("balance"),
    when("left_since", null=True),  # nothing of the customer's runs that could use it
    CheckConstraint("balance >= 0", name="not_negative"),
    Index("credit_left", "left_since", "customer_id", postgresql_where=text("left_since IS NOT NULL")),
)

credit_entries = Table(
    "credits",
    metadata,
    id_(),
    of("customer_id", "customers.id"),
    text_("currency"),
    amount(),  # less than nothing: used
    Column("source", Text, nullable=False, unique=True),
    text_("reason", null=True),
    of("purchase_id", "purchases.id", null=True),
    when("at"),
    Index("credits_by_customer", "customer_id", "at", "id"),
)

invoices = Table(
    "invoices",
    metadata,
    id_(),
    text_("kind"),
    Column("number", Text, nullable=False, unique=True),
    of("purchase_id", "purchases.id"),
    of("customer_id", "customers.id"),
    text_("source"),
    Column("period", Integer, nullable=True),
    flag("livemode"),
    text_("currency"),
    amount("net"),
    amount("tax"),
    amount("total"),
    amount("credited"),
    text_("state"),
    when("issued_at"),
    when("due_at"),
    when("paid_at", null=True),
    of("payment_id", "payments.id", null=True),
    Column("corrects", ForeignKey("invoices.number"), nullable=True, index=True),
    json_("seller"),
    json_("buyer"),
    json_("lines"),
    # Rule 4: what is billed is billed once, whichever of several facts says so.
    Index("one_standing_invoice", "purchase_id", "source", unique=True, postgresql_where=text("state <> 'void'")),
    Index("invoices_by_time", "issued_at", "id"),
    Index("invoices_by_kind", "kind", "state", "issued_at", "id"),
    Index("invoices_by_state", "state", "issued_at", "id"),
    Index("invoices_by_purchase", "purchase_id", "issued_at", "id"),
    Index("invoices_by_customer", "customer_id", "issued_at", "id"),
)
