"""What a dry run may ask a provider follows from the port."""

import inspect
from datetime import UTC, datetime

import pytest

from billing.providers import QUESTIONS, PaymentProvider
from billing.rehearsing import Enough, Part, questions_only
from keyturn.clock import SystemClock
from keyturn.database import Database
from keyturn.events import uuid7
from keyturn.work import Work
from support.fake_provider import FakeProvider

PORT = {name for name, one in vars(PaymentProvider).items() if not name.startswith("_") and callable(one)}
# What changes something at the provider. Whoever adds a method to the port says here, or by `asks`, which one it is.
DOES = {
    "open_checkout",
    "expire",
    "refund",
    "end_subscription",
    "keep_subscription",
    "charge_next_at",
    "charge",
    "open_card_page",
    "forget_mandate",
    "use_card",
    "close",
}


def rehearsed() -> Part:
    now = datetime.now(UTC)
    nowhere = Database("postgresql://nowhere", service="billing", clock=SystemClock())
    work = Work(uuid7(), "run_part", "1/purchase 1", {}, None, 1, now, 1, nowhere, now)
    return Part.of(work, work.id, "purchase 1", dry_run=True)


def test_every_method_of_the_port_either_asks_or_does() -> None:
    asks = PORT & QUESTIONS
    assert asks | DOES == PORT
    assert not asks & DOES
    assert {"name", "livemode"} <= QUESTIONS


@pytest.mark.parametrize("name", sorted(PORT - QUESTIONS))
async def test_in_a_dry_run_what_does_something_is_only_told(name: str) -> None:
    provider, part = FakeProvider("stripe"), rehearsed()
    asked = questions_only({"stripe": provider}, part)["stripe"]
    with pytest.raises(Enough):
        await getattr(asked, name)()
    assert (part.did, provider.calls) == ([f"stripe: {name}"], [])


async def test_questions_are_asked() -> None:
    provider, part = FakeProvider("stripe"), rehearsed()
    asked = questions_only({"stripe": provider}, part)["stripe"]
    assert await asked.find({"session": "cs_1"}) is None
    assert (asked.name, asked.livemode, part.did, provider.calls) == ("stripe", False, [], ["find"])
    assert all(inspect.isroutine(getattr(asked, name)) for name in QUESTIONS - {"name", "livemode"})
