"""What a purchase costs, now and next, as its pages say it."""

from gateway.domain import Coming, Journey, Subscription
from gateway.pages.rendering import human, money
from gateway.pages.words import CYCLES, STANDINGS


def standing_of(subscription: Subscription) -> str:
    if subscription.state != "ended":
        if subscription.resumes_at:
            return "Paused"
        if subscription.cancel_at_period_end:
            return "Cancelled, and ends with what is paid"
    return STANDINGS.get(subscription.state, human(subscription.state))


def price_of(journey: Journey) -> str | None:
    """Of a period, as it stands now; else what was to be paid."""
    if journey.coming and journey.currency:
        return each(journey.coming.cycle, journey.coming.full_price, journey.currency)
    return money(journey.amount, journey.currency) if journey.amount is not None and journey.currency else None


def next_price_of(journey: Journey) -> str | None:
    return money(journey.coming.next_price, journey.currency) if journey.coming and journey.currency else None


def coupon_of(journey: Journey) -> str | None:
    """What it takes off, and what comes after it."""
    if not journey.coupon or not journey.currency:
        return None
    off = f", {money(journey.discount, journey.currency)} less" if journey.discount else ""
    then = f": {then_of(journey.coming, journey.currency)}" if journey.coming else ""
    return f"{journey.coupon}{off}{then}"


def then_of(coming: Coming, currency: str) -> str:
    """The next payments, and those after them."""
    full, following = each(coming.cycle, coming.full_price, currency), money(coming.next_price, currency)
    if coming.discounted == "always":
        return f"{each(coming.cycle, coming.next_price, currency)}, for good"
    if coming.discounted:
        span = "payment" if coming.discounted == 1 else f"{coming.discounted} payments"
        return f"{following} for the next {span}, then {full}"
    return f"{full} from the next payment on"


def each(cycle: str, amount: int, currency: str) -> str:
    return f"{money(amount, currency)} {CYCLES.get(cycle, cycle)}"
