"""A mail server that keeps what it is given, with a page to read it; it can refuse, be slow, or be away.

async with Mailbox() as mailbox:
    mailbox.refuse("full@example.com", "452 4.2.2 mailbox full", times=2)
    mails = await mailbox.wait_for("ada@example.com")
"""

import asyncio
import logging
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Literal, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from sandbox import mailbox_page
from sandbox.loopback import Loopback
from sandbox.ports import free_port

Tls = Literal["none", "starttls", "tls"]
PORT = "port"  # the file in a mailbox's folder that remembers where its page was


@dataclass
class Mail:
    """One mail, however often it came under its Message-ID: mail stores show such copies once."""

    id: int
    message_id: str
    sender: str
    to: str
    subject: str
    text: str
    html: str
    raw: bytes = field(repr=False)
    received: datetime
    copies: list[bytes] = field(repr=False)

    @property
    def deliveries(self) -> int:
        return len(self.copies)

    def shown(self) -> dict[str, Any]:
        """As the page's JSON has it."""
        fields = "id", "message_id", "sender", "to", "subject", "text", "html", "deliveries"
        return {name: getattr(self, name) for name in fields} | {"received": self.received.isoformat()}


@dataclass
class Refusal:
    """An answer instead of taking mail for an address (`*`: any), so many times, at RCPT or after DATA."""

    reply: str
    times: int | None
    at: Literal["rcpt", "data"]


class Mailbox:
    """`smtp_port` and `url` are known from the start. With `users`, clients must log in as one of them."""

    def __init__(
        self,
        *,
        tls: Tls = "none",
        context: ssl.SSLContext | None = None,
        users: dict[str, str] | None = None,
        smtp_port: int = 0,
        http_port: int | None = None,
        host: str = "127.0.0.1",
        folder: Path | None = None,
    ) -> None:
        """With a `folder`, mails are kept there, and found again by the next mailbox on it, at the same address."""
        self.mails: list[Mail] = []
        self.delay = 0.0
        self.attempts = 0  # mails begun, taken or not
        self.lose_after_data = 0  # so many mails are kept, and the connection is cut before the answer
        self._tls = tls
        self._context = context
        self._users = users
        self._refusals: dict[str, Refusal] = {}
        self._changed = asyncio.Condition()
        self._sessions: set[SMTP] = set()
        self._server: asyncio.Server | None = None
        self._host = host
        self._folder = folder
        self._page = Loopback(http_port, wish=_port_in(folder), host=host)
        self.url = self._page.url
        self.smtp_port = smtp_port or free_port()

    async def __aenter__(self) -> Self:
        logging.getLogger("mail.log").setLevel(logging.WARNING)  # below that, aiosmtpd prints every mail
        for address, content, received in _kept(self._folder, self._page.port) if self._folder else ():
            await self._keep(address, content, received)
        await self.up()
        await self._page.start(mailbox_page.app(self))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()
        await self._page.stop()

    async def up(self) -> None:
        """Listen, again on the same port."""
        context = self._context if self._tls == "tls" else None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._session, self._host, self.smtp_port, ssl=context)

    async def down(self) -> None:
        """Refuse connections, and cut those that are open."""
        if self._server:
            self._server.close()
            self._server = None
        for session in self._sessions:
            # One that is closing already has nothing left to abort: over TLS that raises before Python 3.11.3.
            if isinstance(session.transport, asyncio.Transport) and not session.transport.is_closing():
                session.transport.abort()
        self._sessions.clear()

    def refuse(
        self, address: str, reply: str, *, times: int | None = None, at: Literal["rcpt", "data"] = "rcpt"
    ) -> None:
        self._refusals[address] = Refusal(reply, times, at)

    def accept(self, address: str) -> None:
        """Take mail for the address again."""
        self._refusals.pop(address, None)

    def to(self, address: str | None = None) -> list[Mail]:
        """The mails for an address, or all; the oldest first."""
        return [mail for mail in self.mails if address is None or mail.to.lower() == address.lower()]

    async def wait_for(self, address: str, *, subject: str = "", count: int = 1, within: float = 10) -> list[Mail]:
        """The mails for an address with these words in the subject, once there are `count`."""

        def found() -> list[Mail]:
            return [mail for mail in self.to(address) if subject.lower() in mail.subject.lower()]

        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(lambda: len(found()) >= count)
        return found()

    def _session(self) -> SMTP:
        session = SMTP(
            _Handler(self),
            hostname="mailbox.sandbox.example",
            enable_SMTPUTF8=True,
            tls_context=self._context if self._tls == "starttls" else None,
            require_starttls=self._tls == "starttls",
            auth_required=self._users is not None,
            auth_require_tls=self._tls == "starttls",
            authenticator=self._authenticate,
            loop=asyncio.get_running_loop(),
        )
        self._sessions.add(session)
        return session

    def _authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any
    ) -> AuthResult:
        known = (self._users or {}).get(data.login.decode())
        return AuthResult(success=known is not None and known == data.password.decode(), handled=False)

    def _refusal(self, address: str, at: Literal["rcpt", "data"]) -> str | None:
        for name in (address, "*"):
            refusal = self._refusals.get(name)
            if refusal is None or refusal.at != at or refusal.times == 0:
                continue
            if refusal.times is not None:
                refusal.times -= 1
            return refusal.reply
        return None

    async def rcpt(self, address: str) -> str | None:
        """A refusal, or None."""
        self.attempts += 1
        await asyncio.sleep(self.delay)
        return self._refusal(address, "rcpt")

    async def data(self, recipients: list[str], content: bytes) -> str:
        for address in recipients:
            if reply := self._refusal(address, "data"):
                return reply
            if self._folder:
                _write(self._folder, address, content)
            await self._keep(address, content)
        return "250 2.0.0 kept"

    async def _keep(self, address: str, content: bytes, received: datetime | None = None) -> None:
        parsed = message_from_bytes(content, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        message_id = str(parsed["Message-ID"] or f"<none-{len(self.mails)}>")
        async with self._changed:
            for mail in self.to(address):
                if mail.message_id == message_id:
                    mail.copies.append(content)
                    break
            else:
                mail = _mail(len(self.mails) + 1, message_id, address, parsed, content)
                mail.received = received or mail.received
                self.mails.append(mail)
            self._changed.notify_all()


class _Handler:
    """What aiosmtpd calls."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if reply := await self._mailbox.rcpt(address):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        reply = await self._mailbox.data(envelope.rcpt_tos, content)
        if self._mailbox.lose_after_data and isinstance(server.transport, asyncio.Transport):
            self._mailbox.lose_after_data -= 1
            server.transport.abort()
        return reply


def _mail(number: int, message_id: str, address: str, parsed: EmailMessage, raw: bytes) -> Mail:
    return Mail(
        id=number,
        message_id=message_id,
        sender=str(parsed["From"] or ""),
        to=address,
        subject=str(parsed["Subject"] or ""),
        text=_part(parsed, "plain"),
        html=_part(parsed, "html"),
        raw=raw,
        received=datetime.now(UTC),
        copies=[raw],
    )


def _kept(folder: Path, port: int) -> list[tuple[str, bytes, datetime]]:
    """The mails of an earlier run, in the order in which they came; and where the page is now is remembered."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # setup links stand in mails
    (folder / PORT).write_text(str(port))
    found = []
    for file in sorted(folder.glob("*.eml")):
        address, _, content = file.read_bytes().partition(b"\n")
        found.append((address.decode(), content, datetime.fromtimestamp(file.stat().st_mtime, UTC)))
    return found


def _write(folder: Path, address: str, content: bytes) -> None:
    """On disk before the server says that it has the mail."""
    number = sum(1 for _ in folder.glob("*.eml"))
    (folder / f"{number:08}.eml").write_bytes(address.encode() + b"\n" + content)


def _port_in(folder: Path | None) -> int | None:
    file = folder / PORT if folder else None
    return int(file.read_text()) if file and file.exists() else None


def _part(parsed: EmailMessage, kind: Literal["plain", "html"]) -> str:
    body = parsed.get_body((kind,))
    return str(body.get_content()).replace("\r\n", "\n") if body else ""
