"""What becomes of a purchase, whatever is paid for it and whoever tells of it, in whatever order."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, invariant, multiple, precondition, rule

from billing.providers import CapturedPayment
from keyturn.clock import MovableClock
from keyturn.errors import Retry
from keyturn.events import EntitlementChanged, PaymentNeedsReview, PurchasePaid
from support.billing import World, copies, order, world
from support.billing_facts import declined, expired
from support.fake_provider import FakeProvider
from support.models import TIMEOUT, Loop, Machine, NewDatabase, run_machine

pytestmark = [pytest.mark.servers, pytest.mark.timeout(TIMEOUT)]
Name = Literal["stripe", "razorpay"]
WRONG: dict[str, dict[str, Any]] = {
    "short": {"amount": 1},
    "other currency": {"currency": "USD"},
    "other mode": {"livemode": True},
}


@dataclass
class Money:
    """What the provider knows of a payment. `heard`: a webhook about it has arrived."""

    payment: CapturedPayment
    provider_id: str
    fits: bool
    heard: bool = False
    decided: str | None = None


@dataclass
class Bought:
    id: str
    provider: Name
    order: dict[str, Any]
    checkouts: list[str] = field(default_factory=list)
    money: dict[str, Money] = field(default_factory=dict)
    marked: bool = False


class Payments(Machine):
    world: World
    purchases: Bundle[Any] = Bundle("purchases")
    facts: Bundle[Any] = Bundle("facts")

    @initialize(target=purchases, provider=st.sampled_from(["stripe", "razorpay"]))
    def buys(self, provider: Name) -> Bought:
        self.bought: list[Bought] = []
        return self._buy(provider)

    @rule(target=purchases, provider=st.sampled_from(["stripe", "razorpay"]))
    @precondition(lambda self: len(self.bought) < 2)
    def buys_another(self, provider: Name) -> Bought:
        return self._buy(provider, answered=False)

    def _buy(self, provider: Name, *, answered: bool = True) -> Bought:
        """Where it is not `answered`, the checkout is open there, and we do not know it."""
        asked = order(provider=provider, currency="INR" if provider == "razorpay" else "EUR")
        bought = Bought(asked["purchase_id"], provider, asked)
        with self._at(bought).losing(None if answered else Retry("no answer")):
            answer = self.do(self.world.ask("POST", "/internal/checkouts", json=asked))
        assert answer.status_code == (200 if answered else 503)
        bought.checkouts.append(self._at(bought).opened[bought.id].provider_id)
        self.bought.append(bought)
        return bought

    @rule(purchase=purchases)
    def asks_again(self, purchase: Bought) -> None:
        """The same request, or another checkout where the last one has ended."""
        assert self.do(self.world.ask("POST", "/internal/checkouts", json=purchase.order)).status_code == 200
        answer = self.do(self.world.ask("POST", f"/internal/purchases/{purchase.id}/checkout"))
        opened = answer.json().get("session_id") or answer.json().get("order_id")
        if opened and opened not in purchase.checkouts:
            purchase.checkouts.append(opened)

    @rule(
        target=facts,
        purchase=purchases,
        last=st.booleans(),
        named=st.booleans(),
        how=st.sampled_from(["fits", "fits", *WRONG]),
    )
    def pays(self, purchase: Bought, last: bool, named: bool, how: str) -> Any:
        at, checkout = self._at(purchase), purchase.checkouts[-1 if last else 0]
        if purchase.provider == "stripe" and (checkout in at.closed or at.paid.get(checkout)):
            return multiple()
        payment = at.pay(checkout, with_reference=named, **WRONG.get(how, {}))
        money = Money(payment, checkout, fits=how == "fits")
        purchase.money[payment.payment_key] = money
        return at.told(payment), money

    @rule(target=facts, purchase=purchases, ends=st.sampled_from(["declined", "failed", "expired"]))
    def checkout_ends(self, purchase: Bought, ends: str) -> Any:
        checkout, at = purchase.checkouts[-1], self._at(purchase)
        if purchase.provider == "razorpay" or at.paid.get(checkout):
            return multiple()
        if ends == "declined":
            return declined(checkout), None
        at.closed.add(checkout)
        return (expired(checkout, purchase.id) if ends == "expired" else declined(checkout, final=True)), None

    @rule(fact=facts, again=st.booleans())
    def hears(self, fact: tuple[Any, Money | None], again: bool) -> None:
        event, money = fact
        self.do(self.world.hear(*(copies([event]) if again else [event])))
        if money:
            money.heard = True

    @rule(minutes=st.sampled_from([0, 1, 20, 24 * 60]), asks=st.booleans())
    def time_passes(self, minutes: int, asks: bool) -> None:
        self.world.clock.move(timedelta(minutes=minutes))
        self.do(self.world.reconcile() if asks else self.world.work())

    @rule(purchase=purchases)
    def operator_marks_paid(self, purchase: Bought) -> None:
        path = f"/internal/purchases/{purchase.id}/mark-paid"
        answer = self.do(self.world.ask("POST", path, "operator", json={"reason": "by transfer"}))
        paid = [row for row in self._rows(purchase) if row["state"] == "matched" and row["provider"] != "operator"]
        assert answer.status_code == (409 if paid else 200)
        purchase.marked = purchase.marked or not paid

    @rule(purchase=purchases, match=st.booleans())
    def operator_decides(self, purchase: Bought, match: bool) -> None:
        for row in self._rows(purchase):
            if row["state"] == "review":
                path = f"/internal/payments/{row['id']}/decide"
                decision = {"decision": "match" if match else "foreign", "reason": "asked the bank"}
                assert self.do(self.world.ask("POST", path, "operator", json=decision)).status_code == 200
                purchase.money[row["payment_key"]].decided = "ours" if match else "foreign"
                return

    @invariant()
    def each_payment_is_booked_once_for_what_it_is(self) -> None:
        for bought in self.bought:
            rows = self._rows(bought)
            matched = [row for row in rows if row["state"] == "matched"]
            assert len(matched) <= 1
            if any(row["state"] == "surplus" for row in rows):
                assert matched
            for row in rows:
                if row["provider"] != "operator":
                    assert row["state"] in self._may_be(bought.money[row["payment_key"]]), row
            (purchase,) = self.do(self.world.rows("SELECT state FROM purchases WHERE id = :id", id=UUID(bought.id)))
            assert (purchase["state"] == "paid") == bool(matched)

    def teardown(self) -> None:
        for hours in (1, 24, 24):
            self.world.clock.move(timedelta(hours=hours))
            self.do(self.world.reconcile())
        for bought in getattr(self, "bought", []):
            self._ended(bought)
        assert self.do(self.world.rows("SELECT kind, error FROM work WHERE state = 'dead'")) == []
        self.do(self._forget())

    def _ended(self, bought: Bought) -> None:
        rows = {row["payment_key"]: row["state"] for row in self._rows(bought)}
        must = {key for key, money in bought.money.items() if money.heard or self._will_be_found(bought, money)}
        assert must <= set(rows)
        ours = [key for key in must if bought.money[key].fits or bought.money[key].decided == "ours"]
        paid = bool(ours) or bought.marked
        assert ("matched" in rows.values()) >= paid
        matched = "matched" in rows.values()
        told = self.do(self.world.published(PurchasePaid, bought.id))
        entitled = self.do(self.world.published(EntitlementChanged, bought.id))
        assert (len(told), [(one.version, one.wanted) for one in entitled]) == (int(matched), [(1, "on")] * matched)
        reviews = [event.payment_key for event in self.do(self.world.published(PaymentNeedsReview, bought.id))]
        wrong = [key for key in rows if key in bought.money and not bought.money[key].fits]
        surplus = [key for key, state in rows.items() if state == "surplus"]
        assert sorted(reviews) == sorted(wrong + surplus)
        if not matched and "review" not in rows.values():
            assert self.do(self.world.state_of(bought.id)) in {"failed", "expired"}

    def _will_be_found(self, bought: Bought, money: Money) -> bool:
        """Without a webhook: if its checkout is known, and nothing else was paid through it."""
        return len(self._at(bought).paid[money.provider_id]) == 1 and self._is_known(bought, money.provider_id)

    def _is_known(self, bought: Bought, provider_id: str) -> bool:
        sql = "SELECT 1 FROM checkouts WHERE purchase_id = :id AND provider_id = :checkout"
        return bool(self.do(self.world.rows(sql, id=UUID(bought.id), checkout=provider_id)))

    def _may_be(self, money: Money) -> set[str]:
        if money.fits or money.decided == "ours":
            return {"matched", "surplus"}
        return {"foreign"} if money.decided == "foreign" else {"review"}

    def _rows(self, bought: Bought) -> list[Any]:
        sql = "SELECT id, provider, payment_key, state FROM payments WHERE purchase_id = :id ORDER BY id"
        return list(self.do(self.world.rows(sql, id=UUID(bought.id))))

    def _at(self, bought: Bought) -> FakeProvider:
        return self.world.stripe if bought.provider == "stripe" else self.world.razorpay

    async def _forget(self) -> None:
        """What is left to do of this example is not the next one's."""
        async with self.world.database.transaction("test") as tx:
            await tx.run("UPDATE work SET state = 'discarded', finished = now() WHERE state IN ('open', 'dead')")
            await tx.run("UPDATE checkouts SET next_look_at = NULL")


def test_each_payment_counts_once_in_any_order_of_facts(new_database: NewDatabase, loop: Loop) -> None:
    with loop.entered(world(new_database("billing"), MovableClock())) as made:
        run_machine(Payments, loop, made)
