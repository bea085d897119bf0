"""The process is killed at each of its commit points, and started again: one mail, and nothing lost."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from keyturn.clock import MovableClock
from keyturn.database import Database
from notifier.handlers import on_purchase_opened, on_setup_link_issued
from sandbox.mailbox import Mailbox
from support.databases import DatabaseUrl
from support.notifier import ADA, MAIL_KEYS, OPERATOR, Facts
from support.waiting import wait_until

pytestmark = pytest.mark.servers

POINTS = {
    "notifier.work.mail.claimed": 1,
    "notifier.mail.begin.before_commit": 1,
    "notifier.mail.begin.after_commit": 1,
    # The mail server has taken the mail and we could not write that down: sent again, as the same mail.
    "notifier.mail.sent.before_commit": 2,
    "notifier.mail.sent.after_commit": 1,
}


@asynccontextmanager
async def process(url: str, mailbox: Mailbox, failpoints: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {"PATH": os.environ["PATH"], "NOTIFIER_DATABASE_URL": url, "MAIL_KEYS": MAIL_KEYS}
    environment |= {"SMTP_PORT": str(mailbox.smtp_port), "SMTP_TLS": "none", "NOTIFIER_PORT": "0"}
    environment |= {"OPERATOR_EMAIL": OPERATOR, "FAILPOINTS": failpoints}
    quiet = asyncio.subprocess.DEVNULL
    one = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "notifier", env=environment, stdout=quiet, stderr=quiet
    )
    try:
        yield one
    finally:
        if one.returncode is None:
            one.kill()
        await one.wait()


@pytest.fixture
async def database(database_url: DatabaseUrl) -> AsyncIterator[Database]:
    """With Ada's setup mail to be sent."""
    made = Database(await database_url("notifier"), service="notifier", clock=MovableClock())
    told = Facts()
    async with made.transaction("prepare") as tx:
        await on_purchase_opened(told.opened(), tx)
        await on_setup_link_issued(told.link(), tx)
    yield made
    await made.close()


@pytest.mark.parametrize(("point", "copies"), POINTS.items())
async def test_a_kill_at_any_point_yields_one_mail(
    database: Database, mailbox: Mailbox, point: str, copies: int
) -> None:
    async with process(database.dsn, mailbox, f"{point}=kill") as killed:
        assert await asyncio.wait_for(killed.wait(), 30) == -9
    async with database.engine.begin() as connection:  # as if the dead worker's lease had run out
        await connection.execute(text("UPDATE work SET leased_until = now() - interval '1 s' WHERE kind = 'mail'"))

    async def settled() -> bool:
        async with database.engine.connect() as connection:
            states = await connection.execute(
                text("SELECT m.state, w.state FROM messages m, work w WHERE kind = 'mail'")
            )
            return states.all() == [("sent", "done")]

    async with process(database.dsn, mailbox):
        await wait_until(settled, 30)
    (mail,) = mailbox.to(ADA)
    assert mail.deliveries == copies
    assert len(set(mail.copies)) == 1
