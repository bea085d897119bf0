"""The mail with a link to sign in."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from support.notifier import ADA, World
from support.waiting import wait_until

pytestmark = pytest.mark.servers
LINK = "l1nk-" + "x" * 38


def asked(world: World, **more: Any) -> dict[str, Any]:
    until = world.clock.now() + timedelta(minutes=15)
    return {
        "purchase_id": world.purchase,
        "link_id": str(uuid4()),
        "token": LINK,
        "expires_at": until.isoformat(),
    } | more


async def test_the_link_goes_to_the_customer_once_and_its_token_is_stored_sealed(world: World) -> None:
    await world.hear(world.opened())
    wanted = asked(world)
    for _ in range(2):
        await world.ask("POST", "/internal/messages/sign-in", role="public", json=wanted)
    stored = await world.rows("SELECT * FROM messages")
    assert LINK not in str(stored)
    await world.comes_to("sign_in", "sent")
    (mail,) = world.mailbox.to(ADA)
    assert f"https://shop.example/account/enter/{LINK}" in mail.text
    assert "Hello Ada Lovelace" in mail.text
    (row,) = await world.rows("SELECT token FROM messages")
    assert row.token is None


async def test_a_link_that_has_run_out_is_not_sent_and_alerts_nobody(world: World) -> None:
    """Nor does the provisioner hear of it, which makes setup links anew."""
    late = asked(world, expires_at=world.clock.now().isoformat())
    await world.ask("POST", "/internal/messages/sign-in", role="public", json=late)
    await world.comes_to("sign_in", "failed", "link_expired")
    await world.idle()
    assert [event.wire for event in await world.published()] == ["message.failed.v1"]
    assert world.mailbox.to() == []


async def test_a_refused_link_alerts_nobody_since_its_customer_asks_again(world: World) -> None:
    world.mailbox.refuse(ADA, "550 5.1.1 no such mailbox")
    await world.hear(world.opened())
    await world.ask("POST", "/internal/messages/sign-in", role="public", json=asked(world))
    await wait_until(lambda: world.has("sign_in", "failed", "550 5.1.1"))
    await world.idle()
    assert world.mailbox.to() == []
