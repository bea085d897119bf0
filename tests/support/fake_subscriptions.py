"""What the provider in memory collects by itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count

from billing.calendar import end_of
from billing.providers import CapturedPayment, CheckoutOrder, CollectedStatus, FoundSubscription
from billing.providers.failures import NotFound
from keyturn.clock import Clock
from keyturn.events import ProviderSubscriptionChanged, ProviderSubscriptionEnded

_numbers = count(1)


@dataclass
class Collecting:
    """One subscription at the provider. `anchor` is the start of its first period, or of the one it was moved to."""

    id: str
    order: CheckoutOrder
    anchor: datetime
    period_until: datetime
    status: CollectedStatus = "active"
    cancels: bool = False
    completed: bool = False
    payments: list[CapturedPayment] = field(default_factory=list)


class FakeSubscriptions:
    """The part of `FakeProvider` that is about them. `rigid`: as Razorpay, it takes nothing back and moves nothing."""

    name: str
    livemode: bool
    clock: Clock
    collecting: dict[str, Collecting]

    @property
    def rigid(self) -> bool:
        return self.name == "razorpay"

    def _called(self, what: str) -> None:
        raise NotImplementedError

    def begin(self, provider_id: str, order: CheckoutOrder, payment: CapturedPayment) -> CapturedPayment:
        """The first payment, of which a subscription comes to be."""
        number = next(_numbers)
        id_ = provider_id if self.rigid else f"sub_{number}"
        now = self.clock.now().replace(microsecond=0)
        end = end_of(now, order.cycle, now, None)
        key = payment.payment_key if self.rigid else f"in_{number}"
        refs = {**payment.refs, "subscription": id_, "invoice": f"in_{number}"}
        paid = replace(payment, payment_key=key, refs=refs, period_from=now, period_until=end)
        self.collecting[id_] = Collecting(id_, order, now, end, payments=[paid])
        return paid

    def renew(self, subscription_id: str, *, amount: int | None = None) -> CapturedPayment:
        """The next period is charged, and nobody is told."""
        found = self.collecting[subscription_id]
        start = found.period_until
        found.period_until = end_of(start, found.order.cycle, found.anchor, None)
        found.status = "active"
        number, due = next(_numbers), self.due(found)
        paid = CapturedPayment(
            payment_key=f"pay_again_{number}" if self.rigid else f"in_{number}",
            amount=due if amount is None else amount,
            currency=found.order.currency,
            livemode=self.livemode,
            reference=found.order.reference,
            refs={"subscription": subscription_id, "invoice": f"in_{number}", "payment_intent": f"pi_{number}"},
            period_from=start,
            period_until=found.period_until,
        )
        found.payments.append(paid)
        return paid

    def due(self, found: Collecting) -> int:
        recurring = found.order.recurring
        assert recurring
        covered = recurring.periods is None or len(found.payments) < recurring.periods
        return recurring.amount - (recurring.off if covered else 0)

    def fail(self, subscription_id: str, status: CollectedStatus = "past_due") -> None:
        """A charge fails."""
        self.collecting[subscription_id].status = status

    def changed(self, subscription_id: str) -> ProviderSubscriptionChanged | ProviderSubscriptionEnded:
        """What the gateway publishes about it."""
        found = self.collecting[subscription_id]
        about = {
            "subject": f"{self.name}:{subscription_id}",
            "time": self.clock.now(),
            "provider": self.name,
            "livemode": self.livemode,
            "refs": {"subscription": subscription_id},
            "subscription_id": subscription_id,
        }
        if found.status == "ended":
            return ProviderSubscriptionEnded(**about, completed=found.completed)
        return ProviderSubscriptionChanged(**about, status=found.status, period_until=found.period_until)

    async def subscription_now(self, subscription_id: str) -> FoundSubscription:
        self._called(f"subscription_now {subscription_id}")
        found = self.collecting.get(subscription_id)
        if found is None:
            raise NotFound(f"no subscription {subscription_id}")
        cancels = None if self.rigid else found.cancels
        return FoundSubscription(found.status, found.period_until, cancels, list(found.payments), found.completed)

    async def end_subscription(self, subscription_id: str, *, at_period_end: bool) -> None:
        self._called(f"end_subscription {subscription_id} {'later' if at_period_end else 'now'}")
        found = self.collecting[subscription_id]
        found.cancels = True
        found.status = found.status if at_period_end else "ended"

    async def keep_subscription(self, subscription_id: str) -> bool:
        self._called(f"keep_subscription {subscription_id}")
        self.collecting[subscription_id].cancels &= self.rigid
        return not self.rigid

    async def charge_next_at(self, subscription_id: str, moment: datetime) -> bool:
        self._called(f"charge_next_at {subscription_id}")
        if not self.rigid:
            self.collecting[subscription_id].anchor = self.collecting[subscription_id].period_until = moment
        return not self.rigid

    def _collected(self, refs: Mapping[str, str]) -> tuple[str, CapturedPayment] | None:
        """Of a payment that it collected, by any of its ids: our reference, and the payment."""
        own = {value for kind, value in refs.items() if kind not in {"subscription", "customer"}}
        for wanted in (own, {*refs.values()}):
            for found in self.collecting.values():
                for payment in found.payments:
                    if wanted & {payment.payment_key, *payment.refs.values()}:
                        return found.order.reference, payment
        return None
