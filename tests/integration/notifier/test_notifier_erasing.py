"""A customer is forgotten here: whom to write to, and what was written."""

from uuid import uuid4

import pytest

from keyturn.events import CustomerDataErased, CustomerErased
from keyturn.parking import row_id
from support.leftovers import places
from support.notifier import ADA, TOKEN, World
from support.waiting import wait_until

pytestmark = pytest.mark.servers
WORDS = (ADA, "Ada Lovelace", "Ada's shop")


async def forget(world: World) -> None:
    event = CustomerErased(subject=world.purchase, time=world.clock.now(), customer_id=str(uuid4()))
    await world.hear(event)

    async def told() -> bool:
        await world.skip_waits()  # until all that it published itself is out
        return any(isinstance(event, CustomerDataErased) for event in await world.published())

    await wait_until(told, 15)


async def test_only_that_there_were_mails_and_what_became_of_them_is_left(world: World) -> None:
    world.mailbox.refuse(ADA, f"452 4.2.2 {ADA} is full", times=1)
    await world.hear(world.opened(), world.link())
    await world.skip_waits()
    await world.comes_to("setup", "sent")
    assert await places(world.rows, WORDS) >= {"contacts", "messages", "attempts"}
    await forget(world)
    assert await places(world.rows, WORDS) == set()
    assert await world.has("setup", "sent")
    (told,) = [event for event in await world.published() if isinstance(event, CustomerDataErased)]
    assert (told.subject, told.service) == (world.purchase, "notifier")


async def test_what_was_still_to_be_sent_never_is_and_nothing_later_brings_the_contact_back(world: World) -> None:
    world.mailbox.refuse(ADA, "452 4.2.2 full", times=100)
    await world.hear(world.opened(), world.link())
    await forget(world)
    await world.comes_to("setup", "failed", "erased")
    await world.hear(world.opened(), world.entitled(9, ADA), world.suspended())
    await world.comes_to("suspended", "failed", "erased")
    await world.skip_waits()
    await world.idle()
    assert await places(world.rows, WORDS) == set()
    assert world.mailbox.to(ADA) == []


async def test_an_event_that_could_not_be_handled_is_emptied_and_discarded(world: World) -> None:
    opened = world.opened()
    dead = """INSERT INTO work (id, kind, key, subject, payload, body, state, cause, created, finished)
      VALUES (:id, 'event', :key, :subject, '{"wire": "purchase.opened.v1"}', :body, 'dead', 'a bug', now(), now())"""
    body = opened.to_bytes("billing")
    await world.rows_changed(dead, id=row_id(str(opened.id)), key=str(opened.id), subject=world.purchase, body=body)
    assert await places(world.rows, WORDS) == {"work"}
    await forget(world)
    assert await places(world.rows, WORDS) == set()
    (row,) = await world.rows("SELECT state, body FROM work WHERE cause = 'a bug'")
    assert (row.state, row.body) == ("discarded", None)


async def test_what_is_kept_is_shown_without_what_opens_an_install(world: World) -> None:
    await world.hear(world.link())
    shown = await world.ask("GET", f"/internal/purchases/{world.purchase}/data", role="customer")
    assert [one["template"] for one in shown["messages"]] == ["setup"]
    assert {"token", "credentials"}.isdisjoint(shown["messages"][0])
    assert TOKEN not in str(shown)
