"""What a renewal costs billing's database. Whoever has a million subscribers pays this a million times a month."""

from collections.abc import Awaitable
from datetime import timedelta

import pytest

from support.billing import World
from support.counting import Counter
from support.subscriptions import run, subscribes

pytestmark = pytest.mark.servers
SUBSCRIBERS = 8
ASKED, CHARGED = 32, 66  # statements for each; before it was read once what a purchase has, 51 and 104


async def test_a_renewal_takes_few_statements_and_no_more_after_a_year(billing: World) -> None:
    billing.stripe.saves = True
    made = [await subscribes(billing, email=f"jane{number}@example.com") for number in range(SUBSCRIBERS)]
    await billing.work()
    counter = Counter()
    await counter.watch(billing.database)

    async def counted(doing: Awaitable[None]) -> float:
        before = counter.statements
        await doing
        return (counter.statements - before) / SUBSCRIBERS

    found = []
    for _ in range(12):
        billing.clock.move(await made[0].ends_at() - timedelta(days=6) - billing.clock.now())
        asked = await counted(run(billing))
        billing.clock.move(timedelta(days=6, minutes=1))
        found.append((asked, await counted(run(billing))))
    assert len(await made[-1].periods()) == 13
    assert max(asked for asked, _ in found) <= ASKED, found
    assert max(charged for _, charged in found) <= CHARGED, found
    assert abs(sum(found[-1]) - sum(found[0])) < 1, found
