"""While a payment is disputed nothing is charged and nobody falls behind for it; once that is decided in our favour,
charges and dunning go on from where they stood."""

from datetime import timedelta

import pytest

from keyturn.errors import Retry
from keyturn.events import SubscriptionPastDue, SubscriptionRenewed, SubscriptionSuspended
from support.billing import World, at_once, copies
from support.billing_facts import Facts
from support.subscriptions import Subscriber, run, subscribes

pytestmark = pytest.mark.servers


@pytest.fixture
async def saver(billing: World) -> Subscriber:
    """Whose card is saved; two days before the end of their first month."""
    billing.stripe.saves = True
    made = await subscribes(billing)
    await made.time_passes(until=await made.ends_at() - timedelta(days=2))
    return made


def about(saver: Subscriber) -> Facts:
    return Facts(saver.provider.paid[saver.checkout][0])


async def attempts(saver: Subscriber) -> list[tuple[int, int, str]]:
    """Period, attempt and what became of it; the oldest first."""
    found = reversed((await saver.whole())["charges"])
    return [(one["period"], one["attempt"], one["state"]) for one in found]


async def days(saver: Subscriber, count: int) -> None:
    for _ in range(count):
        await saver.time_passes(days=1)


async def keeps(billing: World) -> None:
    """Who disputes keeps what they have."""
    await billing.rows('UPDATE products SET policy = policy || \'{"dispute_opened": "keep"}\' RETURNING slug')


async def test_what_was_to_be_charged_at_the_end_is_charged_at_the_end_that_the_dispute_leaves(
    billing: World, saver: Subscriber
) -> None:
    end = await saver.ends_at()
    await billing.hear(about(saver).disputed())
    await days(saver, 10)
    assert (await attempts(saver), await saver.state()) == ([], "active")
    won = about(saver).closed("won")
    await billing.hear(won, *copies([won]))
    longer = await saver.ends_at() - end
    assert timedelta(days=10) <= longer < timedelta(days=10, hours=1)  # as long as the dispute
    await days(saver, 1)
    assert await attempts(saver) == []  # two days were left, and are
    await saver.time_passes(until=await saver.ends_at())
    await run(billing)
    assert await attempts(saver) == [(2, 1, "paid")]
    assert await saver.payments() == [("matched", 1), ("matched", 2)]
    assert await billing.published(SubscriptionPastDue, saver.id) == []


async def test_attempts_and_warnings_go_on_where_they_stood(billing: World, saver: Subscriber) -> None:
    billing.stripe.decline("insufficient_funds")
    await saver.time_passes(until=await saver.ends_at())
    before = await saver.subscription()
    await days(saver, 1)
    await billing.hear(about(saver).disputed())
    billing.stripe.decline(None)
    await days(saver, 20)
    assert (await attempts(saver), await saver.state()) == ([(2, 1, "failed")], "past_due")
    await billing.hear(about(saver).closed("won"))
    assert await saver.state() in {"past_due", "active"}
    assert await attempts(saver) == [(2, 1, "failed")]
    after = await saver.subscription()
    if after["suspends_at"]:
        assert after["suspends_at"] > before["suspends_at"]
    await days(saver, 25)
    assert await attempts(saver) == [(2, 1, "failed"), (2, 2, "paid")]
    assert await saver.payments() == [("matched", 1), ("matched", 2)]
    assert await billing.published(SubscriptionSuspended, saver.id) == []


async def test_who_keeps_what_they_have_is_charged_once_it_is_decided(billing: World, saver: Subscriber) -> None:
    await keeps(billing)
    end = await saver.ends_at()
    await billing.hear(about(saver).disputed())
    await days(saver, 20)
    assert (await attempts(saver), await saver.state()) == ([], "active")
    assert await billing.published(SubscriptionPastDue, saver.id) == []
    await billing.hear(about(saver).closed("won"))
    await run(billing)
    assert await attempts(saver) == [(2, 1, "paid")]
    assert len(await billing.published(SubscriptionRenewed, saver.id)) == 2
    assert [since for _, since, _ in await saver.periods()][1] == end.isoformat()[:16]


async def test_who_was_suspended_before_is_given_the_time_of_the_dispute(billing: World, saver: Subscriber) -> None:
    await keeps(billing)
    billing.stripe.decline("insufficient_funds")
    await saver.time_passes(until=await saver.ends_at())
    await days(saver, 4)
    assert await saver.state() == "suspended"
    deletes = (await saver.subscription())["deletes_at"]
    await billing.hear(about(saver).disputed())
    await days(saver, 60)
    assert await saver.state() == "suspended"
    made = await attempts(saver)
    await billing.hear(about(saver).closed("won"))
    assert (await saver.subscription())["deletes_at"] > deletes
    await run(billing)
    assert len(await attempts(saver)) == len(made) + 1
    assert await saver.state() == "suspended"


async def test_a_charge_that_was_not_made_yet_is_not_made_and_follows_later(billing: World, saver: Subscriber) -> None:
    await keeps(billing)
    with billing.stripe.failing(Retry("away")):
        await saver.time_passes(until=await saver.ends_at())
        await billing.hear(about(saver).disputed())
    await days(saver, 2)
    assert [state for *_, state in await attempts(saver)] in ([], ["dropped"])
    assert billing.stripe.charges == {}
    await billing.hear(about(saver).closed("won"))
    await days(saver, 1)
    assert len(billing.stripe.charges) == 1
    assert await saver.payments() == [("matched", 1), ("matched", 2)]


async def test_rule_4_a_charge_that_was_made_before_the_dispute_is_booked_and_never_repeated(
    billing: World, saver: Subscriber
) -> None:
    await keeps(billing)
    with billing.stripe.losing(Retry("no answer")):
        await saver.time_passes(until=await saver.ends_at())
    facts = about(saver)
    billing.clock.move(timedelta(hours=2))
    await at_once(billing.work(), billing.hear(facts.disputed()))
    await days(saver, 2)
    await billing.hear(facts.closed("won"))
    await days(saver, 2)
    assert await attempts(saver) == [(2, 1, "paid")]
    assert len(billing.stripe.charges) == 1
    assert await saver.payments() == [("matched", 1), ("matched", 2)]


async def test_as_long_as_another_dispute_is_open_nothing_goes_on(billing: World, saver: Subscriber) -> None:
    await keeps(billing)
    facts = about(saver)
    await billing.hear(facts.disputed(dispute="dp_1"), facts.disputed(dispute="dp_2"))
    await days(saver, 5)
    await billing.hear(facts.closed("won", dispute="dp_1"))
    await days(saver, 2)
    assert await attempts(saver) == []
    await billing.hear(facts.closed("closed", dispute="dp_2"))
    await run(billing)
    assert await attempts(saver) == [(2, 1, "paid")]
