"""Buckets and idempotency keys in PostgreSQL: shared by replicas, and small."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.buckets import Limit
from gateway.repository import limits
from keyturn.events import uuid7
from support.gateway import Gateway

pytestmark = pytest.mark.servers

LIMIT = Limit(burst=5, per_minute=60)


class StoppedClock:
    """Stands still until it is moved: a token comes back each second, and a test may take longer."""

    def __init__(self) -> None:
        self._now = datetime.now(UTC)

    def now(self) -> datetime:
        return self._now

    def move(self, by: timedelta) -> None:
        self._now += by


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


async def take(gateway: Gateway, key: str = "checkout:192.0.2.1") -> int:
    async with gateway.service.database.transaction("take") as tx:
        return await limits.take_token(tx, key, LIMIT)


async def test_concurrent_requests_never_get_more_than_the_bucket_holds(gateway: Gateway) -> None:
    waits = await asyncio.gather(*(take(gateway) for _ in range(20)))
    assert waits.count(0) == 5
    assert await take(gateway, "checkout:192.0.2.2") == 0


async def test_tokens_come_back_with_time_up_to_the_burst(gateway: Gateway, clock: StoppedClock) -> None:
    for _ in range(5):
        await take(gateway)
    assert await take(gateway) == 1
    clock.move(timedelta(seconds=2))
    assert [await take(gateway) for _ in range(3)] == [0, 0, 1]
    clock.move(timedelta(hours=1))
    assert [await take(gateway) for _ in range(6)] == [0, 0, 0, 0, 0, 1]


async def test_what_has_expired_is_deleted_and_nothing_else(gateway: Gateway, clock: StoppedClock) -> None:
    database = gateway.service.database
    async with database.transaction("claim") as tx:
        await limits.claim_key(tx, b"old", b"request", uuid7())
    await take(gateway, "old")
    clock.move(timedelta(hours=25))
    async with database.transaction("claim") as tx:
        await limits.claim_key(tx, b"new", b"request", uuid7())
    await take(gateway, "new")
    async with database.transaction("delete") as tx:
        assert not await limits.delete_old(tx)
    assert [row.key for row in await gateway.rows("SELECT key FROM checkout_keys")] == [b"new"]
    assert [row.key for row in await gateway.rows("SELECT key FROM rate_buckets")] == ["new"]


async def test_too_many_checkouts_of_one_client_wait_and_others_do_not(gateway: Gateway, clock: StoppedClock) -> None:
    answers = [await gateway.client.post("/api/checkout", json={}) for _ in range(61)]
    assert [answer.status_code for answer in answers] == [422] * 60 + [429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    clock.move(timedelta(seconds=2))
    assert (await gateway.client.post("/api/checkout", json={})).status_code == 422


async def test_coupon_codes_cannot_be_tried_one_after_the_other(gateway: Gateway) -> None:
    """By none of the ways, nor by changing between them; an order without a code is not counted."""
    order = {"email": "ada@example.com"}
    tries: list[tuple[str, dict[str, Any]]] = [
        ("/api/check-coupon", {"json": {"couponCode": "A1"}}),
        ("/api/checkout", {"json": order | {"couponCode": "A1"}}),
        ("/", {"data": order | {"couponCode": "A1"}}),
    ]
    answers = [(await gateway.client.post(path, **sent)).status_code for _ in range(10) for path, sent in tries]
    assert answers == [503] * 30  # billing is away
    assert [(await gateway.client.post(path, **sent)).status_code for path, sent in tries] == [429] * 3
    assert (await gateway.client.post("/api/checkout", json=order)).status_code == 503
