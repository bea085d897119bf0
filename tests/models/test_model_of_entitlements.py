"""What refunds and disputes leave of a payment and of an entitlement, whatever is told of them, in whatever order."""

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, invariant, multiple, precondition, rule

from billing.providers import FoundRefund
from keyturn.clock import MovableClock
from keyturn.errors import GiveUp, Retry
from keyturn.events import EntitlementChanged, PurchaseRefunded
from keyturn.internal import Caller
from keyturn.operations import Order, Selection, act
from support.billing import World, copies, world
from support.billing_facts import START, Facts
from support.models import TIMEOUT, Loop, Machine, NewDatabase, run_machine

pytestmark = [pytest.mark.servers, pytest.mark.timeout(TIMEOUT)]
ADMIN = Caller("ada", "admin")


@dataclass
class Dispute:
    id: str
    heard: dict[int, str] = field(default_factory=dict)  # state by the provider's time
    told: int = 0
    state: str = ""

    @property
    def known(self) -> str | None:
        """A decision outlasts what is not one, and the latest decision holds; an open dispute outlasts an inquiry."""
        decided = [self.heard[at] for at in sorted(self.heard) if self.heard[at] not in {"open", "inquiry"}]
        others = sorted((state for state in self.heard.values()), reverse=True)  # "open" after "inquiry"
        return decided[-1] if decided else others[0] if others else None


class Entitlements(Machine):
    world: World
    facts: Bundle[Any] = Bundle("facts")
    refunds: Bundle[Any] = Bundle("refunds")
    disputes: Bundle[Any] = Bundle("disputes")

    @initialize(product=st.sampled_from(["sample-app", "sample-shop"]))
    def buys(self, product: str) -> None:
        self.gentle = product == "sample-shop"
        bought = self.do(self.world.buy(product=product))
        self.purchase = bought["purchase_id"]
        self.payment = self.world.stripe.pay(bought["session_id"])
        self.paid = self.payment.amount
        self.told = Facts(self.payment)
        self.do(self.world.hear(self.world.stripe.told(self.payment)))
        self.heard: dict[str, tuple[int, bool]] = {}  # refund: amount, failed
        self.watched: set[str] = set()  # refunds that are looked at again
        self.opened: list[Dispute] = []

    # The provider, and what it tells

    @rule(target=refunds, quarters=st.integers(1, 4))
    def given_back_there(self, quarters: int) -> Any:
        amount = min(self.paid * quarters // 4, self.world.stripe.left(self.payment.payment_key))
        if amount <= 0:
            return multiple()
        made = self.world.stripe.give_back(self.payment.payment_key, amount, self.payment.currency)
        return made.refund_id, amount

    @rule(target=facts, refund=refunds)
    def refund_is_told(self, refund: tuple[str, int]) -> Any:
        return self.told.refunded(refund[1], refund[0]), lambda: self._heard_refund(*refund, failed=False)

    @rule(target=facts, refund=refunds)
    def refund_fails(self, refund: tuple[str, int]) -> Any:
        self.world.stripe.send_back(refund[0])
        return self.told.refund_failed(refund[1], refund[0]), lambda: self._heard_refund(*refund, failed=True)

    @rule(target=disputes)
    @precondition(lambda self: len(self.opened) < 2)
    def dispute_begins(self) -> Dispute:
        self.opened.append(Dispute(f"dp_{self.payment.payment_key}_{len(self.opened)}"))
        return self.opened[-1]

    @rule(target=facts, dispute=disputes, state=st.sampled_from(["inquiry", "open", "won", "lost", "closed"]))
    def dispute_moves_on(self, dispute: Dispute, state: Any) -> Any:
        self.world.clock.move(timedelta(minutes=1))
        at = dispute.told = (self.world.clock.now() - START) // timedelta(minutes=1)
        dispute.state = state
        if dispute.id not in self.world.stripe.reversals:
            self.world.stripe.dispute(self.payment, dispute.id)
        self.world.stripe.decide(dispute.id, state)
        if state in {"inquiry", "open"}:
            fact: Any = self.told.disputed(inquiry=state == "inquiry", dispute=dispute.id, after=at)
        else:
            fact = self.told.closed(state, dispute=dispute.id, after=at)
        return fact, lambda: dispute.heard.__setitem__(at, state)

    @rule(fact=facts, again=st.booleans())
    def hears(self, fact: tuple[Any, Any], again: bool) -> None:
        event, heard = fact
        self.do(self.world.hear(*(copies([event]) if again else [event])))
        heard()

    @rule()
    def everything_is_asked_for(self) -> None:
        """Long enough after all that happened for every list and every look to be due."""
        given_back = [one for one in self.world.stripe.reversals.values() if isinstance(one, FoundRefund)]
        watched = set(self.watched)
        self.world.clock.move(timedelta(days=31))
        self.do(self.world.reconcile())
        now = (self.world.clock.now() - START) // timedelta(minutes=1)
        for dispute in self.opened:
            if dispute.state and dispute.known in {None, "inquiry", "open"}:
                dispute.heard[now] = dispute.state
        for refund in given_back:
            if refund.refund_id not in self.heard or refund.refund_id in watched:
                self._heard_refund(refund.refund_id, refund.amount, failed=refund.status == "failed")
        self.watched -= watched  # they can no longer fail

    # Operators, and the work they make

    @rule(quarters=st.integers(1, 5))
    def operator_asks(self, quarters: int) -> None:
        amount = self.paid * quarters // 4
        left = self._left()
        path = f"/internal/purchases/{self.purchase}/refund"
        answer = self.do(self.world.ask("POST", path, "admin", json={"reason": "unhappy", "amount": amount}))
        assert answer.status_code == (202 if amount <= left else 422), (answer.text, left)

    @rule(how=st.sampled_from(["well", "away", "lost", "refused"]))
    def works(self, how: str) -> None:
        self.world.clock.move(timedelta(hours=1))
        with self._provider(how):
            self.do(self.world.work())

    @rule()
    def operator_has_dead_work_done_again(self) -> None:
        self.do(act(self.world.database, Order("retry", Selection("all"), ADMIN, "it is well again")))

    @invariant()
    def billing_knows_what_the_model_knows(self) -> None:
        (row,) = self.do(self.world.rows(STATE, purchase=UUID(self.purchase)))
        standing = self._standing()
        assert row["refunded"] == standing
        assert (row["wanted"], set(row["reasons"])) == self._level(standing)
        assert row["state"] == self._state(standing)

    def teardown(self) -> None:
        self.works("well")
        changes = self.do(self.world.published(EntitlementChanged, self.purchase))
        assert [change.version for change in changes] == list(range(1, len(changes) + 1))
        told = [(change.wanted, change.reasons) for change in changes]
        assert all(one != other for one, other in pairwise(told))
        moves = self.do(self.world.published(PurchaseRefunded, self.purchase))
        assert len({(move.refund_id, move.reversed) for move in moves}) == len(moves)
        total = 0
        for move in moves:
            total += -move.amount if move.reversed else move.amount
            assert (move.refunded, move.full) == (total, total >= self.paid)
        assert total == self._standing()
        assert self.world.stripe.left(self.payment.payment_key) >= 0
        self.do(self._forget())

    # The model

    def _heard_refund(self, refund: str, amount: int, *, failed: bool) -> None:
        if refund not in self.heard:
            self.watched.add(refund)
        self.heard[refund] = (amount, failed or self.heard.get(refund, (0, False))[1])

    def _standing(self) -> int:
        for row in self._requests("sent"):
            if row["refund_id"] not in self.heard:
                self._heard_refund(row["refund_id"], row["amount"], failed=False)
        return sum(amount for amount, failed in self.heard.values() if not failed)

    def _left(self) -> int:
        """What is with a bank, or was taken by it, is not there to be given back."""
        asked = sum(int(row["amount"]) for row in self._requests("requested"))
        kept = self.paid * sum(state in {"open", "lost"} for state in self._known())
        return self.paid - self._standing() - asked - kept

    def _known(self) -> list[str]:
        return [dispute.known for dispute in self.opened if dispute.known]

    def _level(self, standing: int) -> tuple[str, set[str]]:
        known = self._known()
        ended = {"refunded"} if standing >= self.paid else set()
        if self.gentle:
            suspended = {"dispute"} if "lost" in known else set()
        else:
            ended |= {"dispute_lost"} if "lost" in known else set()
            suspended = {"dispute"} if "open" in known else set()
        return ("ended", ended) if ended else ("suspended", suspended) if suspended else ("on", set())

    def _state(self, standing: int) -> str:
        known = self._known()
        if standing + self.paid * known.count("lost") >= self.paid:
            return "refunded"
        return "disputed" if "open" in known else "paid"

    def _requests(self, state: str) -> Any:
        sql = "SELECT amount, refund_id FROM refund_requests WHERE purchase_id = :id AND state = :state"
        return self.do(self.world.rows(sql, id=UUID(self.purchase), state=state))

    def _provider(self, how: str) -> Any:
        stripe = self.world.stripe
        match how:
            case "away":
                return stripe.failing(Retry("away"))
            case "lost":
                return stripe.losing(Retry("no answer"))
            case "refused":
                return stripe.failing(GiveUp("refused"))
        return stripe.losing(None)

    async def _forget(self) -> None:
        """What is left to do of this purchase is not the next one's."""
        async with self.world.database.transaction("test") as tx:
            await tx.run("UPDATE work SET state = 'discarded', finished = now() WHERE state IN ('open', 'dead')")
            await tx.run("UPDATE refunds SET next_look_at = NULL")
            await tx.run("UPDATE disputes SET next_look_at = NULL")
        self.world.stripe.reversals.clear()


STATE = """
SELECT state, refunded, wanted, reasons FROM purchases JOIN entitlements ON purchase_id = id WHERE id = :purchase
"""


def test_entitlements_follow_refunds_and_disputes_in_any_order(new_database: NewDatabase, loop: Loop) -> None:
    with loop.entered(world(new_database("billing"), MovableClock())) as made:
        run_machine(Entitlements, loop, made)
