"""The SMTP channel against a real server, with and without TLS."""

import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from notifier.channels.smtp import Bounced, Deferred, SmtpMailer, Unsettled
from sandbox.mailbox import Mailbox

pytestmark = pytest.mark.servers

ADA = "ada@example.com"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mailbox")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "mailbox.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + made.public_bytes(Encoding.PEM))
    return file


@pytest.fixture
def context(certificate: Path) -> ssl.SSLContext:
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(certificate)
    return found


def mailer(mailbox: Mailbox, **more: Any) -> SmtpMailer:
    plain = SmtpMailer("127.0.0.1", mailbox.smtp_port, "none", "", "", 5, "keyturn.example")
    return replace(plain, **more)


def letter(to: str = ADA) -> EmailMessage:
    written = EmailMessage(policy=SMTP if to.isascii() else SMTPUTF8)
    written["From"] = "Keyturn <shop@keyturn.example>"
    written["To"] = to
    written["Subject"] = "Hello"
    written["Message-ID"] = "<1@keyturn.example>"
    written.set_content(".a line that begins with a dot\nand ends")
    return written


async def test_a_mail_arrives_unchanged() -> None:
    async with Mailbox() as mailbox:
        assert (await mailer(mailbox).send(letter())).startswith("250")
        (mail,) = mailbox.to(ADA)
    assert mail.text == ".a line that begins with a dot\nand ends\n"
    assert mail.sender == "Keyturn <shop@keyturn.example>"


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_mail_goes_over_tls_to_a_server_that_we_trust(
    tls: Any, certificate: Path, context: ssl.SSLContext
) -> None:
    async with Mailbox(tls=tls, context=context) as mailbox:
        await mailer(mailbox, tls=tls, ca_file=certificate).send(letter())
        assert mailbox.to(ADA)


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_server_with_an_unknown_certificate_gets_no_mail(tls: Any, context: ssl.SSLContext) -> None:
    async with Mailbox(tls=tls, context=context) as mailbox:
        with pytest.raises(Deferred) as deferred:
            await mailer(mailbox, tls=tls).send(letter())
        assert deferred.value.code in {"tls_failed", "unreachable"}
        assert not mailbox.mails


async def test_starttls_is_required_where_it_is_set() -> None:
    async with Mailbox() as mailbox:
        with pytest.raises(Deferred):
            await mailer(mailbox, tls="starttls").send(letter())
        assert not mailbox.mails


async def test_a_login_is_made_and_a_wrong_password_is_ours_to_mend(certificate: Path, context: ssl.SSLContext) -> None:
    users = {"keyturn": "right"}
    async with Mailbox(tls="starttls", context=context, users=users) as mailbox:
        client = mailer(mailbox, tls="starttls", ca_file=certificate, username="keyturn")
        with pytest.raises(Deferred) as deferred:
            await replace(client, password="wrong").send(letter())
        assert deferred.value.code.startswith("535")
        await replace(client, password="right").send(letter())
        assert mailbox.to(ADA)


@pytest.mark.parametrize(
    ("reply", "failure", "code"),
    [
        ("550 5.1.1 unknown", Bounced, "550 5.1.1"),
        ("552 too large", Bounced, "552"),
        ("450 4.2.1 later", Deferred, "450 4.2.1"),
        ("421 shutting down", Deferred, "421"),
    ],
)
@pytest.mark.parametrize("at", ["rcpt", "data"])
async def test_a_refusal_is_classified(at: Any, reply: str, failure: type[Exception], code: str) -> None:
    async with Mailbox() as mailbox:
        mailbox.refuse(ADA, reply, at=at)
        with pytest.raises(failure) as refused:
            await mailer(mailbox).send(letter())
    assert type(refused.value) is failure
    assert getattr(refused.value, "code", "") == code


async def test_no_server_means_later() -> None:
    async with Mailbox() as mailbox:
        await mailbox.down()
        with pytest.raises(Deferred) as deferred:
            await mailer(mailbox).send(letter())
    assert deferred.value.code == "unreachable"


async def test_a_slow_server_means_later() -> None:
    async with Mailbox() as mailbox:
        mailbox.delay = 3
        with pytest.raises(Deferred) as deferred:
            await mailer(mailbox, timeout=0.2).send(letter())
    assert deferred.value.code == "no_answer"


async def test_a_connection_lost_after_the_mail_went_out_is_unsettled() -> None:
    async with Mailbox() as mailbox:
        mailbox.lose_after_data = 1
        with pytest.raises(Unsettled):
            await mailer(mailbox).send(letter())
        assert len(mailbox.mails) == 1


async def test_an_address_outside_ascii_is_sent_where_the_server_takes_it() -> None:
    async with Mailbox() as mailbox:
        await mailer(mailbox).send(letter("zoë@example.com"))
        assert mailbox.to("zoë@example.com")


async def test_the_page_shows_a_mail_and_runs_nothing_in_it() -> None:
    async with Mailbox() as mailbox, httpx.AsyncClient(base_url=mailbox.url) as page:
        html = letter()
        html.add_alternative("<p onclick='x()'>Hi<script>alert(1)</script></p>", subtype="html")
        await mailer(mailbox).send(html)
        assert "Hello" in (await page.get("/")).text
        assert "No mail yet" in (await page.get("/", params={"to": "nobody@example.com"})).text
        one = (await page.get("/mails/1")).text
        assert 'sandbox="allow-popups' in one
        assert "<script>" not in one
        shown = await page.get("/mails/1/html")
        assert shown.headers["content-security-policy"].startswith("sandbox allow-popups")
        (mail,) = (await page.get("/api/mails", params={"to": ADA})).json()["mails"]
        assert (mail["subject"], mail["deliveries"]) == ("Hello", 1)
        assert (await page.get("/mails/9")).status_code == 404
