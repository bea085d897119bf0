"""Mails, built from a message and its order: plain text and HTML, in the reader's own way of writing dates and money.

Whatever a customer typed can end up here, so nothing of it reaches a header or the HTML as it came.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime as rfc5322
from email.utils import parseaddr
from typing import Any
from urllib.parse import quote

import jinja2
from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time, get_timezone
from babel.numbers import format_currency, get_currency_precision

from keyturn.errors import GiveUp, SealError
from keyturn.events import Sealed, SetupLinkIssued
from keyturn.log import hidden
from keyturn.sealing import KeyRing
from notifier.channels.smtp import Bounced
from notifier.repository import Message

LONGEST_NAME = 60
LONGEST_SUBJECT = 150
_ADDRESS = re.compile(
    r"[^\s@<>()\[\]\\,;:\"\x00-\x1f\x7f]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)*[^\W_](?:[\w-]{0,61}[^\W_])?"
)
_NAME = re.compile(r"[^\W\d_][\w .,'\u2019-]*")
# What mail programs turn into a link. Whoever orders in somebody else's name must not have us send advertisements.
_LINK = re.compile(r"[/\\@\u2024\u3002\uff0e\uff61]|\.\w{2}")


@dataclass(frozen=True)
class Reader:
    """Who reads the mail, and how they write dates and numbers."""

    email: str
    name: str | None = None
    locale: str | None = None
    timezone: str | None = None


@dataclass(frozen=True)
class Order:
    """What a mail needs to know beside its message; of an operator's mail perhaps the reader alone."""

    reader: Reader
    product: str | None = None
    store_name: str | None = None
    amount: int | None = None
    currency: str | None = None


class Desk:
    """Where mails are written."""

    def __init__(self, *, sender: str, public_url: str, keys: KeyRing) -> None:
        name, address = parseaddr(sender)
        self._sender = mail_address(address, name)
        self._public_url = public_url.rstrip("/")
        self._keys = keys
        self._templates = _environment()

    @property
    def domain(self) -> str:
        return self._sender.domain

    @contextmanager
    def letter(self, message: Message, order: Order) -> Iterator[EmailMessage]:
        """The mail; inside the block its secrets are hidden from the log. Raises `GiveUp` where it cannot be built,
        `Bounced` for an address that is none."""
        try:
            secrets = self._open(message)
        except SealError as error:
            raise GiveUp("the setup link does not open: is a key missing in MAIL_KEYS?") from error
        with hidden(*secrets.values()):
            yield self._written(message, order, secrets)

    def _open(self, message: Message) -> dict[str, str]:
        sealed = {"token": message.token, "credentials": message.credentials}
        place = SetupLinkIssued.wire if message.template == "setup" else message.template, message.subject
        return {k: self._keys.open(Sealed(v), place=(*place, k)) for k, v in sealed.items() if v}

    def _written(self, message: Message, order: Order, secrets: dict[str, str]) -> EmailMessage:
        written = EmailMessage(policy=SMTP if order.reader.email.isascii() else SMTPUTF8)
        written["From"] = self._sender
        written["To"] = mail_address(order.reader.email, shown_name(order.reader.name))
        try:
            subject, text, html = self._rendered(message, order, secrets)
        except jinja2.TemplateError as error:
            raise GiveUp(f"the template {message.template} does not render: {type(error).__name__}") from error
        written["Subject"] = one_line(subject)[:LONGEST_SUBJECT]
        written["Date"] = rfc5322(message.created)
        written["Message-ID"] = f"<{message.id}@{self.domain}>"
        written["Auto-Submitted"] = "auto-generated"
        written.set_content(text, cte="quoted-printable")
        written.add_alternative(html, subtype="html", cte="quoted-printable")
        written.set_boundary(f"=_{message.id.hex}")  # a mail sent again is the same mail
        return written

    def _rendered(self, message: Message, order: Order, secrets: dict[str, str]) -> tuple[str, str, str]:
        values = self._values(message, order, secrets)
        text = self._templates.get_template(f"{message.template}.txt.j2")
        html = self._templates.get_template(f"{message.template}.html.j2")
        subject = "".join(text.blocks["subject"](text.new_context(values)))
        return subject, text.render(values), html.render(values | {"subject": one_line(subject)})

    def _values(self, message: Message, order: Order, secrets: dict[str, str]) -> dict[str, Any]:
        style = Style(locale_of(order.reader.locale), timezone_of(order.reader.timezone))
        page = "setup" if message.template == "setup" else "account/enter"
        link = f"{self._public_url}/{page}/{quote(secrets['token'], safe='')}" if "token" in secrets else None
        return {
            "brand": self._sender.display_name or "Keyturn",
            "name": greeting(order.reader.name),
            "product": one_line(order.product or "your order"),
            "store_name": shown_name(order.store_name),
            "price": style.money(order.amount, order.currency) if order.amount and order.currency else None,
            "order_url": f"{self._public_url}/purchases/{message.purchase_id}" if message.purchase_id else None,
            "link": link,
            "credentials": _pairs(secrets.get("credentials")),
            "expires_at": style.when(message.expires_at) if message.expires_at else None,
            "purchase_id": str(message.purchase_id) if message.purchase_id else None,
            "money": style.money,
            "when": style.when_told,
            "fact": message.details,
        }


@dataclass(frozen=True)
class Style:
    """One reader's way of writing."""

    locale: Locale
    timezone: Any

    def when(self, at: datetime) -> str:
        local = at.astimezone(self.timezone)
        day, hour = format_date(local, "long", self.locale), format_time(local, "short", locale=self.locale)
        return f"{day}, {hour} ({local.tzname()})"

    def when_told(self, at: str) -> str:
        return self.when(datetime.fromisoformat(at))

    def money(self, amount: int, currency: str) -> str:
        exact = Decimal(amount).scaleb(-get_currency_precision(currency))
        return str(format_currency(exact, currency, locale=self.locale))


def mail_address(email: str, name: str | None = None) -> Address:
    """Raises `Bounced` for what is no mail address: a mistake of whoever typed it, which no retry mends."""
    if len(email) > 254 or not _ADDRESS.fullmatch(email):
        raise Bounced("bad_address", "not a mail address")
    local, _, domain = email.rpartition("@")
    try:
        ascii_domain = domain.encode("idna").decode()
        return Address(one_line(name or "")[:LONGEST_NAME], local, ascii_domain)
    except (ValueError, UnicodeError):
        raise Bounced("bad_address", "not a mail address") from None


def one_line(text: str) -> str:
    """Without control, format and line-breaking characters: nothing that starts a new header or turns text around."""
    kept = (" " if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp", "Cs"} else c for c in text)
    return " ".join("".join(kept).split())


def shown_name(name: str | None) -> str | None:
    """A name that a customer typed, unless it is a message or advertises a link."""
    plain = one_line(name or "")
    return plain if 0 < len(plain) <= LONGEST_NAME and not _LINK.search(plain) else None


def greeting(name: str | None) -> str | None:
    """The person's name, if it reads like one."""
    plain = shown_name(name)
    return plain if plain and _NAME.fullmatch(plain) else None


def locale_of(tag: str | None) -> Locale:
    """The reader's locale, or the nearest that we know, or plain English."""
    for wanted in (tag or "", (tag or "").split("-")[0]):
        try:
            return Locale.parse(wanted, sep="-")
        except (ValueError, TypeError, UnknownLocaleError):
            continue
    return Locale("en")


def timezone_of(name: str | None) -> Any:
    try:
        return get_timezone(name or "UTC")
    except (LookupError, ValueError, OSError):
        return get_timezone("UTC")


def _pairs(credentials: str | None) -> dict[str, str]:
    """First credentials of panels that must have some: an object of names and values, or one value."""
    if credentials is None:
        return {}
    try:
        found = json.loads(credentials)
    except ValueError:
        found = None
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {"Password": credentials}


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("notifier"),
        autoescape=jinja2.select_autoescape(["html.j2"], default_for_string=True, default=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
