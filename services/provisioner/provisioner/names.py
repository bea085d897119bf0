"""Subdomains and domains: which may be chosen, who has one, and what to suggest.

A checkout reserves a name until it expires; the install claims it. Where a checkout could not ask, a name that turns
out to be taken parks the install until the customer chooses another.
"""

import re
from datetime import datetime
from typing import Literal
from uuid import UUID

from keyturn.database import Transaction
from keyturn.work import Work
from provisioner.domain import Install
from provisioner.errors import NameConflictError
from provisioner.repository import names

Kind = Literal["subdomain", "domain"]
Status = Literal["free", "taken", "not_allowed"]

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,61}[a-z0-9])")  # three characters at least
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])")
LONGEST_DOMAIN = 253
SUGGESTIONS = 20

RESERVED = frozenset(
    """
    abuse account accounts admin administrator api app apps assets auth autoconfig autodiscover billing blog cdn
    checkout cloud console control cpanel customer dashboard default demo dev dns docs email example ftp gateway
    git grafana help hostmaster imap install internal invoice invoices keyturn localhost login mail mailer mta
    mx notifier ns ns1 ns2 ns3 ns4 operator payment payments pop pop3 postmaster prometheus provisioner proxy
    purchases rabbitmq root secure security setup shop smtp ssl sso staging static stats status store support
    sysadmin system test testing tls token tokens vpn webdisk webmail webmaster whm wildcard wpad www www1 www2
    """.split()  # noqa: SIM905 - two hundred quotes would be harder to read
)


def normal(name: str) -> str:
    """As it is compared and stored: lower case, without blanks or a final dot around it. Foreign letters stay as they
    are, since some of them (the sign for kelvin) have one of ours as their lower case."""
    plain = name.strip().removesuffix(".")
    return plain.lower() if plain.isascii() else plain


def objection(kind: Kind, name: str, base_domain: str) -> str | None:
    """Why a name (in its normal form) may not be chosen; None where it may."""
    if kind == "domain":
        return _domain_objection(name, base_domain.lower())
    if not _SUBDOMAIN.fullmatch(name):
        return "3 to 63 letters (a-z), digits and hyphens, with no hyphen at either end"
    if name[2:4] == "--":  # where encoded foreign letters begin: they can look like another name
        return "no two hyphens in third and fourth place"
    return "this name is reserved" if name in RESERVED else None


def _domain_objection(name: str, base_domain: str) -> str | None:
    if len(name) > LONGEST_DOMAIN or not _DOMAIN.fullmatch(name) or not all(map(_says_what_it_is, name.split("."))):
        return "a domain looks like shop.example.com"
    if f".{name}".endswith(f".{base_domain}"):  # there every name is an install's, and its owner's alone
        return f"domains below {base_domain} are ours: choose a subdomain instead"
    return None


def _says_what_it_is(label: str) -> bool:
    """Encoded foreign letters must hold some: `xn--paypal-` is shown as `paypal` by some, and is another name."""
    if label[2:4] != "--":
        return True
    try:
        return label.startswith("xn--") and not label[4:].encode().decode("punycode").isascii()
    except UnicodeError:
        return False


async def check(tx: Transaction, kind: Kind, asked: str, base_domain: str) -> tuple[Status, str | None, str | None]:
    """What the name is, one to take instead, and why it is not allowed."""
    name = normal(asked)
    wrong = objection(kind, name, base_domain)
    if wrong is None and await names.is_free(tx, kind, name):
        return "free", None, None
    suggestion = await suggest(tx, name) if kind == "subdomain" else None
    return ("not_allowed" if wrong else "taken"), suggestion, wrong


async def suggest(tx: Transaction, like: str) -> str | None:
    """A free subdomain that resembles what was asked."""
    stem = slug(like)
    for number in range(1, SUGGESTIONS):
        name = stem if number == 1 else f"{stem[:58]}-{number}"
        if objection("subdomain", name, "") is None and await names.is_free(tx, "subdomain", name):
            return name
    return None


def slug(text: str) -> str:
    """The letters and digits of a text as a subdomain; for what has none, a plain word."""
    found = re.sub(r"-{2,}", "-", re.sub(r"[^a-z0-9]+", "-", text.lower())).strip("-")[:50].strip("-")
    return found if len(found) >= 3 else f"{found}-site".strip("-")


async def reserve(tx: Transaction, kind: Kind, name: str, owner: UUID, until: datetime) -> None:
    """Raises `NameConflictError`."""
    if not await names.take(tx, kind, normal(name), owner, until):
        raise NameConflictError(kind, normal(name))


async def release(tx: Transaction, owner: UUID) -> None:
    """For an order that came to nothing. What an install has claimed stays its own."""
    await names.release_reserved(tx, owner)


async def claim(work: Work, install: Install, base_domain: str) -> str:
    """The install's names become its own: those ordered, else a subdomain derived from what is known of it. Gives the
    subdomain. Raises `NameConflictError` where one that was ordered is somebody else's, or may not be had."""
    kinds: tuple[Kind, ...] = ("domain", "subdomain")
    ordered = {kind: name for kind in kinds if (name := normal(install.parameters.get(kind) or ""))}
    if ordered:
        async with work.transaction("named") as tx:
            for kind, name in ordered.items():
                await _claim_ordered(tx, kind, name, install.id, base_domain)
    return ordered.get("subdomain") or install.subdomain or await _derived(work, install)


async def _claim_ordered(tx: Transaction, kind: Kind, name: str, owner: UUID, base_domain: str) -> None:
    if objection(kind, name, base_domain) or not await names.take(tx, kind, name, owner, None):
        raise NameConflictError(kind, name)
    await names.release_others(tx, owner, kind, keep=name)


async def _derived(work: Work, install: Install) -> str:
    stem = slug(install.parameters.get("store_name") or install.product)
    found = [stem, f"{stem}-{install.id.hex[-6:]}", f"{stem}-{install.id.hex[-12:]}"]
    possible = [*(name for name in found if objection("subdomain", name, "") is None), f"i-{install.id.hex}"]
    return await names.take_one(work, install.id, possible)
