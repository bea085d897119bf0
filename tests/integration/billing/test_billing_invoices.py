"""Invoices: one for each payment and each renewal, numbered without gaps, and as they were when they were issued."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from billing.applying import apply_catalog
from billing.catalog import parse_catalog
from billing.repository.invoices import next_number
from billing.taxes import CatalogTaxes, Rate, Sale
from keyturn.errors import Retry
from keyturn.events import InvoiceIssued, InvoiceOverdue, InvoicePaid, SubscriptionRenewalDue, uuid7
from keyturn.internal import Caller
from support.billing import CATALOG, World, at_once, copies, order
from support.subscriptions import PRICE, Subscriber, orders, subscribes

pytestmark = pytest.mark.servers
ADMIN = Caller(actor="ada", role="admin")


async def _invoices(billing: World, **asked: Any) -> list[dict[str, Any]]:
    """Oldest first."""
    answer = (await billing.ask("GET", "/internal/invoices", "viewer", params=asked)).json()
    return list(reversed(answer["items"]))


async def _one(billing: World, number: str) -> dict[str, Any]:
    return dict((await billing.ask("GET", f"/internal/invoices/{number}", "viewer")).json())


async def _asked(subscriber: Subscriber) -> None:
    await subscriber.time_passes(until=await subscriber.ends_at() - timedelta(days=6))


async def test_a_first_payment_is_invoiced_once_and_paid(billing: World) -> None:
    subscriber = await orders(billing, plan_id="web-small", coupon_code="WELCOME10", name="Ada")
    assert await _invoices(billing) == []
    payment = await subscriber.pays()
    await billing.hear(*copies([billing.stripe.told(payment)]))
    (listed,) = await _invoices(billing, purchase=subscriber.id)
    assert listed["number"] == f"TEST-INV-{billing.clock.now().year}-000001"
    assert (listed["total"], listed["due"], listed["status"]) == (1350, 1350, "paid")
    found = await _one(billing, listed["number"])
    plan, fee = found["lines"]
    assert (plan["text"], plan["amount"], plan["discount"]) == ("Web hosting, Small, monthly", 500, 50)
    assert (plan["net"] + plan["tax"], fee["net"] + fee["tax"]) == (450, 900)
    assert found["taxes"] == [{"name": "VAT 19 %", "tax": found["tax"]}]
    assert found["net"] + found["tax"] == 1350
    assert found["buyer"]["name"] == "Ada"
    assert found["seller"]["name"] == "Sample Hosting Ltd"
    (issued,) = await billing.published(InvoiceIssued, subscriber.id)
    (paid,) = await billing.published(InvoicePaid, subscriber.id)
    assert (issued.number, issued.total, paid.payment_id) == (listed["number"], 1350, listed["payment_id"])


async def test_what_costs_nothing_has_no_invoice(billing: World) -> None:
    await billing.buy(product="sample-free")
    assert await _invoices(billing) == []


async def test_tax_that_prices_do_not_include_is_charged(billing: World) -> None:
    bought = await billing.buy(plan_id="server-2", cycle="monthly", currency="INR", country="in")
    assert (bought["amount"], bought["tax"]) == (235764, 35964)
    payment = billing.razorpay.pay(bought["order_id"])
    await billing.hear(billing.razorpay.told(payment))
    subscriber = Subscriber(billing, bought)
    await subscriber.is_ready()
    await _asked(subscriber)
    assert (await subscriber.subscription())["due"] == 129682
    first, second = await _invoices(billing)
    assert (first["net"], first["tax"], first["total"]) == (199800, 35964, 235764)
    assert (second["net"], second["tax"], second["total"]) == (109900, 19782, 129682)
    await subscriber.pays(await subscriber.opens_checkout())
    assert [one["status"] for one in await _invoices(billing)] == ["paid", "paid"]


async def test_a_company_abroad_owes_the_tax_itself(billing: World) -> None:
    bought = await billing.buy(country="AT", company="Firma", tax_id="atu 12345678")
    await billing.hear(billing.stripe.told(billing.stripe.pay(bought["session_id"])))
    (listed,) = await _invoices(billing)
    found = await _one(billing, listed["number"])
    assert (found["tax"], found["lines"][0]["rate"]) == (0, "VAT, reverse charge")
    assert (found["buyer"]["company"], found["buyer"]["tax_id"]) == ("Firma", "ATU 12345678")


@pytest.mark.parametrize("country", ["XX", "Germany", "D"])
async def test_an_unknown_country_is_refused_and_nothing_is_left(billing: World, country: str) -> None:
    answer = await billing.ask("POST", "/internal/checkouts", json=order(country=country))
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_country")
    assert await billing.rows("SELECT 1 AS one FROM purchases") == []


async def test_a_renewals_invoice_is_issued_when_it_is_asked_for_and_paid_by_its_payment(billing: World) -> None:
    subscriber = await subscribes(billing)
    end = await subscriber.ends_at()
    await _asked(subscriber)
    await subscriber.time_passes(hours=1)
    _, renewal = await _invoices(billing, purchase=subscriber.id)
    assert (renewal["status"], renewal["period"], renewal["total"]) == ("open", 2, PRICE)
    assert renewal["due_at"][:19] == end.isoformat()[:19]
    line = (await _one(billing, renewal["number"]))["lines"][0]
    assert line["since"][:10] == end.date().isoformat()
    assert line["until"] > line["since"]
    (due,) = await billing.published(SubscriptionRenewalDue, subscriber.id)
    assert due.invoice == renewal["number"]
    payment = await subscriber.pays(await subscriber.opens_checkout())
    await billing.hear(*copies([billing.stripe.told(payment)]))
    assert [one["status"] for one in await _invoices(billing)] == ["paid", "paid"]
    assert [one.number for one in await billing.published(InvoicePaid)][1:] == [renewal["number"]]


async def test_a_renewal_that_nobody_pays_is_overdue_once(billing: World) -> None:
    subscriber = await subscribes(billing)
    await _asked(subscriber)
    await subscriber.time_passes(until=await subscriber.ends_at() + timedelta(days=1))
    await subscriber.time_passes(days=1)
    assert await subscriber.state() == "past_due"
    (told,) = await billing.published(InvoiceOverdue, subscriber.id)
    assert told.number == (await _invoices(billing))[-1]["number"]


async def test_a_withdrawn_renewal_is_void_and_asked_for_again_under_another_number(billing: World) -> None:
    subscriber = await subscribes(billing)
    await _asked(subscriber)
    path = f"/internal/subscriptions/{subscriber.id}"
    await billing.ask("POST", f"{path}/cancel", "customer", json={})
    assert [one["status"] for one in await _invoices(billing)] == ["paid", "void"]
    await billing.ask("POST", f"{path}/keep", "customer", json={})
    assert [one["status"] for one in await _invoices(billing)] == ["paid", "void", "open"]
    assert [one["number"][-1] for one in await _invoices(billing)] == ["1", "2", "3"]
    assert [one["number"][-1] for one in await _invoices(billing, status="void")] == ["2"]


async def test_a_catalogue_applied_later_changes_no_invoice_but_the_next_one(billing: World) -> None:
    subscriber = await subscribes(billing)
    (first,) = await _invoices(billing)
    before = await _one(billing, first["number"])
    text = (
        CATALOG.read_text()
        .replace("Sample Hosting Ltd", "Another Ltd")
        .replace("DE: {name: VAT, person: 19", "DE: {name: VAT, person: 7")
    )
    await apply_catalog(billing.deps, ADMIN, parse_catalog(text), "new rates")
    assert await _one(billing, first["number"]) == before
    await _asked(subscriber)
    _, second = await _invoices(billing)
    found = await _one(billing, second["number"])
    assert (found["seller"]["name"], found["lines"][0]["rate"], found["total"]) == ("Another Ltd", "VAT 7 %", PRICE)


async def test_a_tax_service_is_asked_and_may_be_away(billing: World) -> None:
    asked: list[Sale] = []

    class Service(CatalogTaxes):
        async def rate(self, sale: Sale) -> Rate:
            asked.append(sale)
            if len(asked) == 1:
                raise Retry("away")
            return Rate(name="Tax", percent=Decimal(10), inclusive=False)

    object.__setattr__(billing.deps, "taxes", Service())
    refused = await billing.ask("POST", "/internal/checkouts", json=order())
    assert (refused.status_code, refused.json()["code"]) == (503, "tax_unavailable")
    assert (await billing.buy(country="US", cycle="monthly"))["amount"] == 990
    assert asked[-1].buyer.country == "US"


async def test_live_and_test_money_have_their_own_numbers(billing: World) -> None:
    for livemode in (False, True, True):
        billing.stripe.livemode = livemode
        bought = await billing.buy(email=f"{uuid7()}@example.com")
        await billing.hear(billing.stripe.told(billing.stripe.pay(bought["session_id"])))
    year = billing.clock.now().year
    numbers = sorted(one["number"] for one in await _invoices(billing))
    assert numbers == [f"INV-{year}-000001", f"INV-{year}-000002", f"TEST-INV-{year}-000001"]


async def test_numbers_have_no_gaps_though_many_are_given_at_once_and_some_are_taken_back(billing: World) -> None:
    kept: list[str] = []

    async def take(place: int) -> None:
        with suppress(ZeroDivisionError):
            async with billing.database.transaction("test") as tx:
                number = await next_number(tx, "X-2026")
                await asyncio.sleep(0)
                assert 1 // (place % 3) >= 0  # every third one is rolled back
            kept.append(number)

    await at_once(*(take(place) for place in range(60)))
    assert sorted(kept) == [f"X-2026-{place:06}" for place in range(1, 41)]


async def test_many_payments_at_once_are_numbered_in_a_row(billing: World) -> None:
    bought = [await billing.buy(email=f"ada{place}@example.com") for place in range(12)]
    facts = [billing.stripe.told(billing.stripe.pay(one["session_id"])) for one in bought]
    await at_once(*(billing.hear(fact) for fact in [*facts, *copies(facts)]))
    year = billing.clock.now().year
    numbers = [f"TEST-INV-{year}-{n:06}" for n in range(1, 13)]
    assert sorted(one["number"] for one in await _invoices(billing)) == numbers
    assert sorted(one.number for one in await billing.published(InvoiceIssued)) == numbers


async def test_the_database_takes_no_second_invoice_for_one_period(billing: World) -> None:
    subscriber = await orders(billing)
    await subscriber.pays()
    columns = "kind, number, purchase_id, customer_id, source, livemode, currency, net, tax, total, credited, state, issued_at, due_at, seller, buyer, lines"
    copied = columns.replace("number", "'another'", 1)
    sql = (
        f"INSERT INTO invoices (id, {columns}) SELECT gen_random_uuid(), {copied} FROM invoices WHERE purchase_id = :id"
    )
    with pytest.raises(Exception, match="one_standing_invoice"):
        await billing.rows(sql, id=UUID(subscriber.id))


async def test_a_list_goes_on_where_its_page_ended_and_knows_its_customer(billing: World) -> None:
    for place in range(3):
        bought = await billing.buy(email=f"ada{place}@example.com")
        await billing.hear(billing.stripe.told(billing.stripe.pay(bought["session_id"])))
    first = (await billing.ask("GET", "/internal/invoices", "viewer", params={"limit": 2})).json()
    more = {"limit": 2, "cursor": first["cursor"]}
    second = (await billing.ask("GET", "/internal/invoices", "viewer", params=more)).json()
    assert [one["number"][-1] for one in [*first["items"], *second["items"]]] == ["3", "2", "1"]
    assert [one["number"][-1] for one in await _invoices(billing, email="ADA1@example.com")] == ["2"]
    assert (await billing.ask("GET", "/internal/invoices/NO-1", "viewer")).json()["code"] == "invoice_unknown"


async def test_a_customer_gets_those_of_their_purchase_alone(billing: World) -> None:
    mine, other = await orders(billing), await orders(billing, email="grace@example.com")
    await mine.pays()
    await other.pays()
    path = f"/internal/purchases/{mine.id}/invoices"
    (listed,) = (await billing.ask("GET", path, "customer")).json()["items"]
    assert listed["purchase_id"] == mine.id
    assert (await billing.ask("GET", f"{path}/{listed['number']}", "customer")).json()["buyer"][
        "email"
    ] == "ada@example.com"
    (foreign,) = await _invoices(billing, purchase=other.id)
    assert (await billing.ask("GET", f"{path}/{foreign['number']}", "customer")).json()["code"] == "invoice_unknown"
    assert (await billing.ask("GET", path, "public")).status_code == 403
    assert (await billing.ask("GET", "/internal/invoices", "customer")).status_code == 403
