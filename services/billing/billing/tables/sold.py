"""What is sold: products, plans, prices, coupons, and the catalogues that said so."""

from sqlalchemy import BigInteger, Column, ForeignKey, Identity, Index, Integer, Table, Text, text

from billing.tables.columns import amount, flag, id_, json_, metadata, of, text_, when

products = Table(
    "products",
    metadata,
    Column("slug", Text, primary_key=True),
    text_("name"),
    text_("description"),
    text_("kind"),
    text_("blueprint"),
    json_("policy"),
    Column("position", Integer, nullable=False),
    flag("is_default"),
    flag("active"),
    Index("one_default_product", "is_default", unique=True, postgresql_where=text("is_default")),
)

# What was applied, in this order: the last one is what is sold.
catalogs = Table(
    "catalogs",
    metadata,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    Column("digest", Text, nullable=False, index=True),
    text_("content"),
    when("applied_at"),
    text_("applied_by"),
    text_("reason", null=True),
)

plans = Table(
    "plans",
    metadata,
    Column("slug", Text, primary_key=True),
    of("product", "products.slug"),
    Column("key", Integer, nullable=True, unique=True),  # the documented integer
    text_("name"),
    json_("limits"),
    Column("position", Integer, nullable=False),  # the first plan of a product is its default
    flag("active"),
)

prices = Table(
    "prices",
    metadata,
    id_(),
    of("plan", "plans.slug"),
    text_("cycle"),
    text_("currency"),
    amount(),
    amount("setup_fee"),
    Column("trial_days", Integer, nullable=False),
    text_("collection"),
    text_("trial_card"),
    json_("ids"),
    Column("position", Integer, nullable=False),
    flag("active"),
    when("created_at"),
    when("replaced_at", null=True),
    # A price that people bought is never changed: another amount, fee or id is another row. One of them is on offer.
    Index("one_active_price", "plan", "cycle", "currency", unique=True, postgresql_where=text("active")),
)

coupons = Table(
    "coupons",
    metadata,
    Column("code", Text, primary_key=True),
    json_("terms"),
    text_("source"),
    amount("redeemed"),  # how many redemptions stand: kept by whoever adds one or gives one back
    when("created_at"),
    when("ended_at", null=True),
)

# A purchase redeems its coupon once, and gives it back when it ends unpaid.
redemptions = Table(
    "redemptions",
    metadata,
    Column("purchase_id", ForeignKey("purchases.id"), primary_key=True),
    of("coupon", "coupons.code"),
    of("customer_id", "customers.id"),
    when("redeemed_at"),
    when("given_back_at", null=True),
    Index("redemptions_by_coupon", "coupon", "redeemed_at", "purchase_id"),
    Index("redemptions_by_customer", "coupon", "customer_id", postgresql_where=text("given_back_at IS NULL")),
)
