"""The tables of the provisioner. Only `repository` imports this."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import registry

from keyturn.database import new_metadata
from provisioner import domain

metadata = new_metadata()


def _text(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, Text, nullable=null)


def _json(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, JSONB, nullable=null)


def _when(name: str, *, null: bool = True) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=null)


def _flag(name: str) -> Column[Any]:
    return Column(name, Boolean, nullable=False)


def _number(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, Integer, nullable=null)


def _install(*, primary: bool = False) -> Column[Any]:
    return Column("install_id", ForeignKey("installs.id"), nullable=False, primary_key=primary)


installs = Table(
    "installs",
    metadata,
    Column("id", Uuid, primary_key=True),  # the purchase's id: rule 4, one install each
    _text("state"),
    _when("state_since", null=False),
    _number("version"),
    _number("revision"),
    _text("wanted"),
    _json("reasons"),
    _json("own_reasons"),
    _text("product"),
    _text("plan"),
    _text("blueprint"),
    _json("parameters"),
    _json("limits"),
    _json("contact"),
    _when("delete_after"),
    _when("created_at", null=False),
    _flag("removal_asked"),
    _json("applied", null=True),
    _number("failed_revision", null=True),
    _flag("settled"),
    _flag("repair"),
    _flag("optional_open"),
    _text("subdomain", null=True),
    _text("url", null=True),
    _text("admin_url", null=True),
    _when("ready_at"),
    _when("activated_at"),
    _when("deleted_at"),
    Index("installs_by_time", "created_at", "id"),
    Index("installs_by_state", "state", "created_at", "id"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    _install(),
    _text("action"),
    _number("revision"),
    _text("state"),
    _text("reason", null=True),
    _when("due"),
    _text("step", null=True),
    _text("detail", null=True),
    _text("cause", null=True),
    _flag("undoing"),
    _number("attempts"),
    _when("created_at", null=False),
    _when("started_at"),
    _when("ended_at"),
    Index("one_open_job", "install_id", unique=True, postgresql_where=text("state IN ('pending', 'processing')")),
    Index("jobs_by_install", "install_id", "created_at"),
)

steps = Table(
    "steps",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False),
    _text("name"),
    _text("kind"),
    _text("operation"),
    _number("position"),
    _json("needs"),
    _text("state"),
    _number("attempts"),
    _when("due"),
    _text("reason", null=True),
    _text("detail", null=True),
    _text("outcome", null=True),
    _when("waiting_since"),
    _when("started_at"),
    _when("ended_at"),
    UniqueConstraint("job_id", "name", "operation"),
)

resources = Table(
    "resources",
    metadata,
    _install(primary=True),
    Column("name", Text, primary_key=True),
    _text("kind"),
    _number("position"),
    _text("state"),
    _flag("optional"),
    _json("parameters"),
    _json("customer_named"),
    _json("needs"),
    _when("intended_at", null=False),
    _text("target", null=True),
    _json("notes"),
    _json("outputs"),
    _when("present_at"),
    _when("gone_at"),
    _text("outcome", null=True),
    _text("cause", null=True),
    _text("message", null=True),
    _number("attempts"),
    Index("resources_present", "kind", "install_id", "name", postgresql_where=text("state = 'present'")),
    Index("orphans", "install_id", "name", postgresql_where=text("state = 'orphan'")),
)

# Made once for an install, sealed for (secrets, <install>/<name>, value).
secrets = Table(
    "secrets",
    metadata,
    _install(primary=True),
    Column("name", Text, primary_key=True),
    _text("sealed"),
    _when("created_at", null=False),
)

# Numbers out of a pool (ports of a host, slots of a server), each with one holder.
allocations = Table(
    "allocations",
    metadata,
    Column("pool", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    _install(),
    _text("resource"),
    UniqueConstraint("install_id", "resource", "pool"),
)

# Hosts that hold what is made at a target, and how much of each is taken: counted where a place is taken or left.
servers = Table(
    "servers",
    metadata,
    Column("name", Text, primary_key=True),
    _text("target"),
    _text("address"),
    _text("publish_on"),
    Column("memory", BigInteger, nullable=False),
    _number("millicpus"),
    _number("slots"),
    _json("labels"),
    _flag("enabled"),
    Column("used_memory", BigInteger, nullable=False, server_default="0"),
    Column("used_millicpus", Integer, nullable=False, server_default="0"),
    Column("used_slots", Integer, nullable=False, server_default="0"),
    _when("created_at", null=False),
    Index("servers_by_target", "target", "name"),
)

placements = Table(
    "placements",
    metadata,
    _install(primary=True),
    Column("resource", Text, primary_key=True),
    Column("server", ForeignKey("servers.name"), nullable=False, index=True),
    Column("memory", BigInteger, nullable=False),
    _number("millicpus"),
)

# Who is at work at a target that takes only so many at once, whichever replica it is.
slots = Table(
    "slots",
    metadata,
    Column("target", Text, primary_key=True),
    Column("install_id", Uuid, primary_key=True),
    Column("resource", Text, primary_key=True),
    Index("slots_by_install", "install_id"),
)

# One for each set of names. Keys are sealed for (certificates, <id>, <column>).
certificates = Table(
    "certificates",
    metadata,
    Column("id", Uuid, primary_key=True),
    _text("fingerprint"),
    _json("names"),
    _text("challenge"),
    _when("created_at", null=False),
    _text("given", null=True),
    _text("order_key", null=True),
    _text("order_url", null=True),
    _when("ordered_at"),
    _text("key", null=True),
    _text("chain", null=True),
    _text("serial", null=True),
    _when("issued_at"),
    _when("expires_at"),
    _when("renew_at"),
    _number("failures"),
    _when("retry_at"),
    _text("trouble", null=True),
    _text("message", null=True),
    _number("reminded", null=True),
    UniqueConstraint("fingerprint", "challenge"),
    Index("certificates_by_order", "ordered_at"),
)

# Which resource of which install uses which certificate; `released`: it does not want it any more.
certificate_uses = Table(
    "certificate_uses",
    metadata,
    _install(primary=True),
    Column("resource", Text, primary_key=True),
    Column("certificate_id", ForeignKey("certificates.id"), nullable=False),
    _flag("released"),
    Index("uses_by_certificate", "certificate_id", "install_id"),
)

# What was put into the world to prove a name (a TXT record, a file), written down before; until it is removed.
challenges = Table(
    "challenges",
    metadata,
    Column("place", Text, primary_key=True),
    _text("kind"),
    _text("zone"),
    Column("certificate_id", Uuid, nullable=False, index=True),
    _when("since", null=False),
)

# Our account at each ACME server, by its private key, sealed for (acme_accounts, <directory>, key).
acme_accounts = Table(
    "acme_accounts",
    metadata,
    Column("directory", Text, primary_key=True),
    _text("key"),
    _when("created_at", null=False),
)

# Which host names nginx serves, and how. Its configuration is made from these rows and nothing else.
sites = Table(
    "sites",
    metadata,
    Column("hostname", Text(collation="C"), primary_key=True),
    _install(),
    _text("resource"),
    _text("upstream"),
    _text("state"),
    _text("body_size"),
    _text("certificate", null=True),
    _text("certificate_key", null=True),
    Index("sites_by_install", "install_id", "resource"),
)

# Reserved until a time by a checkout, or claimed (no time) by an install; the owner is a purchase id either way.
names = Table(
    "names",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("owner", Uuid, nullable=False, index=True),
    _when("reserved_until"),
    Index("reservations", "reserved_until", postgresql_where=text("reserved_until IS NOT NULL")),
)

setup_links = Table(
    "setup_links",
    metadata,
    Column("id", Uuid, primary_key=True),
    _install(),
    _number("number"),
    Column("token_hash", Text, nullable=False, unique=True),
    _text("state"),
    _when("created_at", null=False),
    _when("expires_at", null=False),
    _number("attempt"),
    _when("claimed_until"),
    _json("operation", null=True),
    _text("detail", null=True),
    _when("used_at"),
    UniqueConstraint("install_id", "number"),
    Index("setup_links_to_expire", "expires_at", postgresql_where=text("state = 'open'")),
)

# What befell an install, in order, and who did it.
history = Table(
    "history",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    _install(),
    _when("at", null=False),
    _text("what"),
    _text("actor", null=True),
    _text("reason", null=True),
    _json("detail"),
    Index("history_by_install", "install_id", "id"),
)

registry(metadata=metadata).map_imperatively(domain.SetupLink, setup_links)
