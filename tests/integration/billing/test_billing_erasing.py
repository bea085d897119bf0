"""A customer is forgotten: not before everything has ended, and then for good; what was paid stays in the books."""

import asyncio
import hashlib
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from billing import erasing
from billing.buying import CheckoutRequest
from billing.checkout import open_purchase
from keyturn.events import (
    CustomerDataErased,
    CustomerErased,
    CustomerErasureWanted,
    EntitlementChanged,
    OperatorActed,
    PaymentNeedsReview,
)
from keyturn.internal import Caller
from support.billing import World, order
from support.billing_facts import Facts
from support.leftovers import places
from support.subscriptions import PRICE, Subscriber, orders, subscribes

pytestmark = pytest.mark.servers
ADA = {"email": "zebulon@example.com", "name": "Zebulon Quux", "store_name": "Quux & Sons", "subdomain": "quux"}
WORDS = ("zebulon", "Zebulon", "Quux", "quux")


async def customer(billing: World, email: str = ADA["email"]) -> str:
    found = (await billing.ask("GET", "/internal/customers", "viewer", params={"email": email})).json()["items"]
    return str(found[0]["id"])


async def erase(billing: World, customer_id: str, **more: Any) -> Any:
    sent = {"reason": "they asked for it"} | more
    return await billing.ask("POST", f"/internal/customers/{customer_id}/erase", "admin", json=sent)


async def forget(billing: World, customer_id: str) -> Any:
    """As it goes where a relay publishes what is written."""
    answer = await erase(billing, customer_id, end_everything=True)
    await billing.rows("UPDATE outbox SET published = :now RETURNING 1", now=billing.clock.now())
    await billing.work()
    return answer


async def left(billing: World) -> set[str]:
    return await places(billing.rows, WORDS)


async def subscriber(billing: World) -> Subscriber:
    return await subscribes(billing, **ADA)


async def test_who_still_has_something_is_not_forgotten_and_the_answer_says_what(billing: World) -> None:
    bought = await subscriber(billing)
    pending = await billing.buy(**ADA)
    known = await customer(billing)
    answer = await erase(billing, known)
    assert (answer.status_code, answer.json()["code"]) == (409, "customer_not_done")
    found = {(one["purchaseId"], one["what"]) for one in answer.json()["standing"]}
    assert found == {(bought.id, "running"), (pending["purchase_id"], "pending")}
    await billing.work()
    assert "customers" in await left(billing)
    assert await billing.published(CustomerErased) == []


async def test_everything_is_ended_at_once_and_only_amounts_dates_and_ids_are_left(billing: World) -> None:
    bought = await subscriber(billing)
    pending = await billing.buy(**ADA)
    known = await customer(billing)
    assert (await forget(billing, known)).status_code == 202
    assert await left(billing) == {"invoices"}  # the law wants their buyer kept, for a time
    now = (await bought.whole())["entitlement"]
    assert (now["wanted"], now["reasons"]) == ("ended", ["erased"])
    assert await bought.state() == "ended"
    assert await billing.state_of(pending["purchase_id"]) == "expired"
    shown = (await billing.ask("GET", f"/internal/customers/{known}", "viewer")).json()
    assert shown["email"] == f"erased-{known}@customers.invalid"
    assert [one["amount"] for one in shown["payments"]] == [PRICE]
    told = await billing.published(CustomerErased)
    assert {event.subject for event in told} == {bought.id, pending["purchase_id"]}
    assert {event.customer_id for event in told} == {known}
    (act,) = await billing.published(OperatorActed)
    assert (act.action, act.reason, act.target) == ("customer.erase", "they asked for it", known)


async def test_invoices_keep_their_buyer_as_long_as_the_law_wants_and_no_longer(billing: World) -> None:
    await subscriber(billing)
    await forget(billing, await customer(billing))
    for years, kept in ((9, {"invoices"}), (2, set())):
        billing.clock.move(timedelta(days=366 * years))
        await billing.work()
        assert await left(billing) == kept
    (invoice,) = await billing.rows("SELECT total FROM invoices")
    assert invoice["total"] == PRICE


async def test_repeating_it_changes_nothing(billing: World) -> None:
    await subscriber(billing)
    known = await customer(billing)
    for _ in range(2):
        assert (await forget(billing, known)).status_code == 202
    assert len(await billing.published(CustomerErased)) == 1
    assert len(await billing.published(CustomerDataErased)) == 1
    assert len(await billing.published(OperatorActed)) == 1


@pytest.mark.parametrize("undecided", ["dispute", "refund", "review"])
async def test_what_is_undecided_is_decided_first(billing: World, undecided: str) -> None:
    bought = await orders(billing, **ADA)
    payment = await bought.pays()
    known = await customer(billing)
    if undecided == "dispute":
        await billing.hear(Facts(payment).disputed())
    elif undecided == "refund":
        path = f"/internal/purchases/{bought.id}/refund"
        assert (await billing.ask("POST", path, "admin", json={"reason": "x", "amount": 1})).status_code == 202
    else:
        other = await billing.buy(**ADA)
        await billing.hear(billing.stripe.told(billing.stripe.pay(other["session_id"], amount=1)))
    answer = await erase(billing, known, end_everything=True)
    assert answer.status_code == 409
    assert {one["what"] for one in answer.json()["standing"]} == {undecided}


async def test_money_that_comes_later_gives_nothing_and_is_to_go_back(billing: World) -> None:
    pending = await billing.buy(**ADA)
    known = await customer(billing)
    await forget(billing, known)
    await billing.hear(billing.stripe.told(billing.stripe.pay(pending["session_id"])))
    (told,) = await billing.published(PaymentNeedsReview)
    assert (told.subject, told.reason) == (pending["purchase_id"], "surplus")
    assert await billing.published(EntitlementChanged) == []
    again = await billing.ask("POST", f"/internal/purchases/{pending['purchase_id']}/checkout")
    assert "url" not in again.json()
    assert await left(billing) == set()


async def test_the_operator_sees_when_all_four_services_are_done(billing: World) -> None:
    bought = await subscriber(billing)
    known = await customer(billing)
    await forget(billing, known)

    async def progress() -> Any:
        return (await billing.ask("GET", f"/internal/customers/{known}", "viewer")).json()["erasure"]

    (own,) = await billing.published(CustomerDataErased)
    assert own.service == "billing"
    for service in ("gateway", "provisioner", "notifier", "billing"):
        assert (await progress())["complete"] is False
        told = {"subject": bought.id, "time": own.time, "customer_id": known, "service": service}
        await billing.hear(CustomerDataErased(**told))
    assert (await progress())["complete"] is True


async def test_who_comes_back_is_another_customer(billing: World) -> None:
    await subscriber(billing)
    known = await customer(billing)
    await forget(billing, known)
    await billing.buy(**ADA)
    assert await customer(billing) != known
    assert "purchases" in await left(billing)


async def test_a_trial_once_used_stays_used_and_nobody_can_tell_whose_it_was(billing: World) -> None:
    tried = {"plan_id": "wordpress-blog", "cycle": "monthly"}
    assert (await billing.buy(**ADA, **tried))["trial_days"] == 14
    assert await billing.rows("SELECT 1 FROM used_trials") == []
    await forget(billing, await customer(billing))
    assert await left(billing) == set()
    plainly = hashlib.sha256(f"trial:{ADA['email']}".encode()).digest()
    (kept,) = await billing.rows("SELECT digest FROM used_trials")
    assert kept["digest"] != plainly
    again = await billing.buy(**ADA | {"email": "ZEBULON@example.com"}, **tried)
    assert (again["amount"], again.get("trial_days")) == (900, None)
    assert (await billing.buy(**tried, email="grace@example.com"))["trial_days"] == 14


async def test_who_never_tried_may_once_they_come_back(billing: World) -> None:
    await subscriber(billing)
    await forget(billing, await customer(billing))
    assert (await billing.buy(**ADA, plan_id="wordpress-blog", cycle="monthly"))["trial_days"] == 14


async def test_an_order_at_the_same_moment_is_forgotten_or_somebody_elses(billing: World) -> None:
    """Never one that belongs to a forgotten customer and is kept."""
    for _ in range(5):
        await billing.buy(**ADA)
        known = await customer(billing)
        wanted = CheckoutRequest.model_validate(order(**ADA))
        act = erasing.erase(billing.deps, Caller("op", "admin"), UUID(known), "x", end_everything=True)
        await asyncio.gather(act, open_purchase(billing.deps, wanted))
        sql = "SELECT purchases.erased_at, customers.erased_at AS gone FROM purchases JOIN customers"
        rows = await billing.rows(
            f"{sql} ON customers.id = customer_id WHERE purchases.id = :id", id=wanted.purchase_id
        )
        assert (rows[0]["erased_at"] is None) == (rows[0]["gone"] is None)
        if rows[0]["gone"] is None:
            await erase(billing, await customer(billing), end_everything=True)


async def test_a_customers_wish_is_seen_by_operators_until_it_is_done(billing: World) -> None:
    await subscriber(billing)
    known = await customer(billing)
    for _ in range(2):
        asked = await billing.ask("POST", f"/internal/customers/{known}/erasure-request", "customer")
        assert asked.status_code == 202

    async def wanting() -> list[str]:
        found = await billing.ask("GET", "/internal/customers", "viewer", params={"erasure": "wanted"})
        return [one["id"] for one in found.json()["items"]]

    assert await wanting() == [known]
    (told,) = await billing.published(CustomerErasureWanted)
    assert told.customer_id == known
    await erase(billing, known, end_everything=True)
    assert await wanting() == []


async def test_what_is_kept_is_shown_without_what_opens_anything(billing: World) -> None:
    bought = await subscriber(billing)
    shown = (await billing.ask("GET", f"/internal/purchases/{bought.id}/data", "customer")).json()
    assert shown["purchases"][0]["contact"]["email"] == ADA["email"]
    assert [one["amount"] for one in shown["payments"]] == [PRICE]
    assert {"url", "client"}.isdisjoint(shown["checkouts"][0])
    assert len(shown["periods"]) == 1
    known = await customer(billing)
    about = (await billing.ask("GET", f"/internal/customers/{known}/data", "customer")).json()
    assert [one["email"] for one in about["customers"]] == [ADA["email"]]
