"""Trial days: a first period that costs nothing, once for each customer.

Where its price wants a card, that is given at the provider before the trial begins, and the first period that is paid
is charged to it. Until then the order waits as one that is to be paid; its payment is of nothing.
"""

import hmac
from uuid import UUID

from pydantic import SecretStr

from billing.buying import Chosen
from billing.coupons import Discount, discount_for
from billing.domain import Customer, Purchase
from billing.errors import trial_needs_card
from billing.repository.subscriptions import add_trial
from keyturn.database import Transaction


async def claim_trial(tx: Transaction, chosen: Chosen, customer: Customer, purchase_id: UUID, key: SecretStr) -> int:
    """The days for which this customer has it free. 0: there are none, or the customer has had a trial already, under
    this address or before they were forgotten."""
    days = chosen.offer.trial_days if chosen.provider else 0
    return days if days and await add_trial(tx, customer.id, purchase_id, digest_of(key, customer.email)) else 0


def digest_of(key: SecretStr, email: str) -> bytes | None:
    """By which an address is known again, and told to nobody who has no key. `email`: in its one spelling. None where
    there is no key."""
    secret = key.get_secret_value().encode()
    return hmac.digest(secret, f"trial:{email}".encode(), "sha256") if secret else None


def wants_card(chosen: Chosen, trial_days: int) -> bool:
    """Raises `trial_needs_card` where the provider saves none."""
    if not trial_days or chosen.offer.trial_card != "required":
        return False
    if chosen.provider is None or chosen.provider.name != "stripe":
        raise trial_needs_card()
    return True


def taken_off(purchase: Purchase, number: int, price: int) -> int:
    """Of the period of this number, by the purchase's own coupon, as it was when it was bought. A trial uses nothing of
    the coupon up."""
    discount = Discount.model_validate(purchase.coupon) if purchase.coupon else None
    return discount_for(discount, _paid_number(purchase, number), price, purchase.currency)


def net_of(purchase: Purchase, number: int, price: int) -> int:
    """What the period of this number costs at this price."""
    return price - taken_off(purchase, number, price) if _paid_number(purchase, number) else 0


def discounted_from(purchase: Purchase, number: int, price: int) -> int | None:
    """How many periods from this one on the coupon covers. None: all."""
    duration = (purchase.coupon or {}).get("duration", "first")
    if duration == "always":
        return None
    most = 1 if duration == "first" else duration
    return sum(1 for later in range(number, number + most) if taken_off(purchase, later, price))


def setup_fee_of(purchase: Purchase, number: int) -> int:
    """What is paid with the period of this number beside its price."""
    return purchase.setup_fee if _paid_number(purchase, number) == 1 else 0


def _paid_number(purchase: Purchase, number: int) -> int:
    """Among the periods that are paid."""
    return number - 1 if purchase.trial_days else number
