"""A mail that was taken is still there after a restart, and the page has its old address."""

from email.message import EmailMessage
from pathlib import Path

import aiosmtplib

from sandbox.mailbox import Mailbox


async def test_the_mails_of_an_earlier_run_are_found_again(tmp_path: Path) -> None:
    async with Mailbox(folder=tmp_path / "mails") as mailbox:
        for subject in ("first", "second"):
            mail = EmailMessage()
            mail["From"], mail["To"], mail["Subject"] = "shop@example.com", "ada@example.com", subject
            mail["Message-ID"] = f"<{subject}@example.com>"
            mail.set_content("A link: http://127.0.0.1/setup/x\n")
            await aiosmtplib.send(mail, hostname="127.0.0.1", port=mailbox.smtp_port)
        before, url = mailbox.to("ada@example.com"), mailbox.url
    async with Mailbox(folder=tmp_path / "mails") as again:
        assert again.url == url
        assert [(m.subject, m.text, m.to) for m in again.to()] == [(m.subject, m.text, m.to) for m in before]
    assert (tmp_path / "mails").stat().st_mode & 0o077 == 0
