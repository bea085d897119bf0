"""What customers save with the provider in memory, and what is charged to it."""

from collections.abc import Mapping
from itertools import count

from billing.providers import CapturedPayment, CardOrder, ChargeOrder, ChargeResult, OpenedCard, SavedMandate
from keyturn.errors import GiveUp

_numbers = count(1)


class FakeMandates:
    """The part of `FakeProvider` that is about them: Stripe's, since Razorpay keeps none."""

    name: str
    livemode: bool
    pages: dict[str, CardOrder]  # on which a card can be given, by id
    given: dict[str, SavedMandate]  # by the id of the page, or of the payment's intent
    declining: dict[str, str]  # cards and their code; `processing`: the bank decides later
    charges: dict[str, ChargeResult]  # by our key
    forgotten: list[str]  # cards, once for each time
    paid: dict[str, list[CapturedPayment]]

    def _called(self, what: str) -> None:
        raise NotImplementedError

    def _answers(self) -> None:
        raise NotImplementedError

    def give(self, page: str) -> dict[str, str]:
        """The customer gives another card: by these refs the provider knows of it."""
        number = next(_numbers)
        customer = self.pages[page].customer_id or f"cus_new{number}"
        self.given[page] = SavedMandate(customer, f"pm_new{number}")
        return {"session": page, "customer": customer}

    def decline(self, code: str | None) -> None:
        """Every card that was given, from now on."""
        cards = [one.method_id for one in self.given.values()]
        self.declining = dict.fromkeys(cards, code) if code else {}

    def bank_says(self, key: str, code: str | None) -> None:
        """What the bank says of a charge that was pending."""
        order, amount = self.charges[key], self._amounts[key]
        self.charges[key] = self._failed(code) if code else self._took(key, amount[0], amount[1])
        assert order.status == "pending"

    async def saved_mandate(self, refs: Mapping[str, str]) -> SavedMandate | None:
        self._called("saved_mandate")
        return next((self.given[ref] for ref in refs.values() if ref in self.given), None)

    async def use_card(self, subscription_id: str, saved: SavedMandate) -> None:
        self._called(f"use_card {subscription_id} {saved.method_id}")

    async def charge(self, order: ChargeOrder) -> ChargeResult:
        self._called(f"charge {order.method_id}")
        if self.name == "razorpay":
            raise GiveUp("Razorpay keeps no mandate")
        if order.key not in self.charges:
            code = self.declining.get(order.method_id)
            self._amounts[order.key] = order.amount, order.currency
            self._references[order.key] = str(order.purchase_id)
            if code == "processing":
                self.charges[order.key] = ChargeResult("pending", f"pi_later{next(_numbers)}")
            else:
                took = None if code else self._took(order.key, order.amount, order.currency)
                self.charges[order.key] = took or self._failed(code)
        self._answers()
        return self.charges[order.key]

    async def charged(self, order: ChargeOrder) -> ChargeResult | None:
        self._called("charged")
        return self.charges.get(order.key)

    async def open_card_page(self, order: CardOrder) -> OpenedCard | None:
        self._called("open_card_page")
        if self.name == "razorpay":
            return OpenedCard(client={"subscription_id": order.subscription_id}) if order.subscription_id else None
        page = f"cs_card{next(_numbers)}"
        self.pages[page] = order
        return OpenedCard(page, f"https://pay.test/{page}")

    async def forget_mandate(self, mandate: SavedMandate) -> None:
        self._called(f"forget_mandate {mandate.method_id}")
        self.forgotten.append(mandate.method_id)
        self.declining[mandate.method_id] = "mandate_gone"
        self._answers()

    @property
    def _references(self) -> dict[str, str]:
        found: dict[str, str] = self.__dict__.setdefault("references", {})
        return found

    @property
    def _amounts(self) -> dict[str, tuple[int, str]]:
        found: dict[str, tuple[int, str]] = self.__dict__.setdefault("amounts", {})
        return found

    def _failed(self, code: str | None) -> ChargeResult:
        return ChargeResult("failed", f"pi_no{next(_numbers)}", code=code)

    def _took(self, key: str, amount: int, currency: str) -> ChargeResult:
        number = next(_numbers)
        intent = f"pi_took{number}"
        refs = {"payment_intent": intent, "charge": f"ch_took{number}", "attempt": key}
        payment = CapturedPayment(intent, amount, currency, self.livemode, self._references[key], refs)
        self.paid[intent] = [payment]
        return ChargeResult("paid", intent, payment=payment)
