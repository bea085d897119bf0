"""Mail through an SMTP server. Translates and classifies what it answers; decides nothing."""

import re
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Literal, Protocol

import aiosmtplib

from keyturn.errors import KeyturnError
from keyturn.log import masked

LONGEST_REPLY = 300
_ENHANCED = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")  # RFC 3463


class SmtpFailure(KeyturnError):
    """`code`: three digits and the enhanced status where given, or our own word; safe to publish. `reply`: the
    server's text, which may quote the recipient and is for operators alone."""

    def __init__(self, code: str, reply: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.reply = masked(" ".join(reply.split()))[:LONGEST_REPLY]


class Bounced(SmtpFailure):
    """The server refused this recipient or this mail for good."""


class Deferred(SmtpFailure):
    """Not now: the server is away, busy, or refused us rather than the recipient."""


class Unsettled(Deferred):
    """The connection was lost after the mail had gone out: the server may have taken it."""


class Mailer(Protocol):
    async def send(self, letter: EmailMessage) -> str:
        """The server's answer. Raises `Bounced`, `Deferred` or `Unsettled`."""
        ...


@dataclass(frozen=True)
class SmtpMailer:
    """A connection for each mail: a few milliseconds more, and no connection that has gone stale."""

    host: str
    port: int
    tls: Literal["none", "starttls", "tls"]
    username: str
    password: str
    timeout: float
    name: str  # what we call ourselves; looking it up would block
    ca_file: Path | None = None

    async def send(self, letter: EmailMessage) -> str:
        client = aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            use_tls=self.tls == "tls",
            start_tls=self.tls == "starttls",
            tls_context=self._context(),
            timeout=self.timeout,
            local_hostname=self.name,
        )
        try:
            await self._connect(client)
            return await _transfer(client, letter)
        finally:
            client.close()

    async def _connect(self, client: aiosmtplib.SMTP) -> None:
        try:
            await client.connect()
            await client.ehlo()  # what the server can do
            if self.username:
                await client.login(self.username, self.password)
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Deferred(*_said(error)) from None

    def _context(self) -> ssl.SSLContext | None:
        return None if self.tls == "none" else ssl.create_default_context(cafile=self.ca_file)


async def _transfer(client: aiosmtplib.SMTP, letter: EmailMessage) -> str:
    """MAIL, RCPT and DATA one by one, since the same reply means something else at each."""
    sender, recipient = _address(letter, "From"), _address(letter, "To")
    utf8 = not (sender + recipient).isascii()
    try:
        options = _options(client, utf8=utf8)
        await client.mail(sender, options=options, encoding="utf-8" if utf8 else "ascii")
    except (aiosmtplib.SMTPException, OSError) as error:
        raise Deferred(*_said(error)) from None
    try:
        await client.rcpt(recipient, encoding="utf-8" if utf8 else "ascii")
    except (aiosmtplib.SMTPException, OSError) as error:
        raise _refusal(error) from None
    try:
        response = await client.data(letter.as_bytes())
    except (aiosmtplib.SMTPException, OSError) as error:
        if isinstance(error, aiosmtplib.SMTPResponseException):
            raise _refusal(error) from None
        raise Unsettled(*_said(error)) from None
    await _goodbye(client)
    return f"{response.code} {response.message}"[:LONGEST_REPLY]


def _options(client: aiosmtplib.SMTP, *, utf8: bool) -> list[str]:
    if not utf8:
        return []
    if not client.supports_extension("smtputf8"):
        raise Bounced("address_unsupported", "the mail server takes no address outside ASCII")
    return ["SMTPUTF8"]


async def _goodbye(client: aiosmtplib.SMTP) -> None:
    """The mail is out: nothing that goes wrong now matters."""
    try:
        await client.quit()
    except (aiosmtplib.SMTPException, OSError):
        return


def _refusal(error: Exception) -> SmtpFailure:
    final = isinstance(error, aiosmtplib.SMTPResponseException) and 500 <= error.code < 600
    return (Bounced if final else Deferred)(*_said(error))


def _said(error: Exception) -> tuple[str, str]:
    if isinstance(error, aiosmtplib.SMTPResponseException):
        enhanced = _ENHANCED.search(error.message)
        return (f"{error.code} {enhanced[1]}" if enhanced else str(error.code)), error.message
    if isinstance(error, ssl.SSLError):
        return "tls_failed", error.reason or ""
    if isinstance(error, TimeoutError):
        return "no_answer", "the mail server did not answer in time"
    return "unreachable", "the mail server cannot be reached"


def _address(letter: EmailMessage, header: str) -> str:
    return str(letter[header].addresses[0].addr_spec)
