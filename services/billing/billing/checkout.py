"""Opening a purchase and the provider's checkout for it.

First commit: the purchase, PurchaseOpened, and the intent to open a checkout. Then the provider is asked, outside any
transaction. Second commit: what it answered. A crash in between is healed when the request is repeated: the provider
finds the checkout by the same key.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from billing.buying import (
    CheckoutRequest,
    buyer_of,
    choose,
    contact_of,
    fingerprint,
    one_spelling,
    purchase_from,
)
from billing.calendar import recurs
from billing.coming import coming
from billing.deps import BillingDeps
from billing.domain import Bill, Checkout, Purchase
from billing.errors import (
    provider_refused,
    provider_unavailable,
    purchase_id_reused,
    purchase_unknown,
    tax_unavailable,
    trial_taken,
)
from billing.invoicing import rate_for
from billing.owing import CLOSE_CHECKOUTS, first_bill, nothing_to_pay, owed, pays, superseded
from billing.payments import record_payment
from billing.plan_changes import PAYABLE_FOR
from billing.providers import CheckoutOrder, OpenedCheckout, Recurring
from billing.providers.failures import PriceRefused
from billing.providers.money import written
from billing.reconcile import FIRST_LOOK
from billing.redeeming import redeem
from billing.repository.offers import Wares, wares
from billing.repository.purchases import (
    add_purchase,
    checkouts_of,
    customer_of,
    get_purchase,
    lock_purchase,
)
from billing.repository.subscriptions import holds_trial
from billing.taxes import Item, Rate, charge, told
from billing.telling import is_collected
from billing.trials import claim_trial, discounted_from, wants_card
from keyturn.database import Transaction
from keyturn.errors import Failure, GiveUp
from keyturn.events import Contact, PurchaseOpened, uuid7
from keyturn.log import get_logger

logger = get_logger()
LIFE = timedelta(hours=23)  # Stripe takes at most 24 hours, by its own clock


@dataclass(frozen=True)
class Opening:
    """A purchase, what it owes, and the checkout with which that can be paid."""

    purchase: Purchase
    due: Bill | None
    checkout: Checkout | None
    wares: Wares


async def open_purchase(deps: BillingDeps, request: CheckoutRequest) -> Opening:
    """The same request again gets the same answer; another one under the same id is refused."""
    try:
        rate = await rate_for(deps, buyer_of(request))
    except Failure as failed:
        raise tax_unavailable() from failed
    async with deps.database.transaction("open_purchase") as tx:
        purchase = await get_purchase(tx, request.purchase_id) or await _open(tx, deps, request, rate)
        if purchase.request_hash != fingerprint(request):
            raise purchase_id_reused(purchase.id)
        opening = await _opening(tx, purchase)
    return await _ask_provider(deps, opening)


async def open_again(deps: BillingDeps, purchase_id: UUID) -> Opening:
    """A checkout for what a purchase owes: another one where its last one failed or expired, or one for a renewal. One
    that can be paid is given again."""
    async with deps.database.transaction("open_again") as tx:
        purchase = await lock_purchase(tx, purchase_id)
        if purchase is None:
            raise purchase_unknown()
        opening = await _opening(tx, purchase)
        if opening.due and not opening.checkout and not await is_collected(tx, purchase.id):
            attempt = len(await checkouts_of(tx, purchase.id)) + 1
            if not purchase.is_paid:
                if purchase.trial_days and not await holds_trial(tx, purchase.customer_id, purchase.id):
                    raise trial_taken()
                await redeem(tx, purchase)
                purchase.expires_at = tx.now + LIFE
            tx.session.add(_checkout(tx, purchase, opening.due, attempt))
            opening = await _opening(tx, purchase)
    return await _ask_provider(deps, opening)


async def _open(tx: Transaction, deps: BillingDeps, request: CheckoutRequest, rate: Rate) -> Purchase:
    chosen = await choose(tx, request, deps.providers, rate)
    contact = contact_of(request)
    customer = await customer_of(tx, one_spelling(contact.email), contact)
    trial = await claim_trial(tx, chosen, customer, request.purchase_id, deps.settings.address_key)
    new = purchase_from(request, chosen, customer, contact, opened_at=tx.now, until=tx.now + LIFE, trial_days=trial)
    if await add_purchase(tx, new):
        await redeem(tx, new)
        tx.publish(_opened(tx, new, chosen.offer.amount))
        if new.amount or wants_card(chosen, trial):
            tx.session.add(_checkout(tx, new, first_bill(new), attempt=1))
        else:
            await record_payment(tx, nothing_to_pay(new, 1), "free")
    stored = await get_purchase(tx, request.purchase_id)
    if stored is None:
        raise purchase_unknown()
    return stored


async def _ask_provider(deps: BillingDeps, opening: Opening) -> Opening:
    checkout, due = opening.checkout, opening.due
    if checkout is None or due is None or checkout.state != "opening":
        return opening
    provider = deps.providers.get(checkout.provider)
    if provider is None:
        raise provider_unavailable(checkout.provider)
    try:
        opened = await provider.open_checkout(_order(opening.purchase, checkout, due, opening.wares))
    except GiveUp as refused:
        logger.warning("checkout_refused", provider=checkout.provider, cause=str(refused))
        why = str(refused) if isinstance(refused, PriceRefused) else None
        raise provider_refused(checkout.provider, why) from refused
    except Failure as failed:
        raise provider_unavailable(checkout.provider) from failed
    async with deps.database.transaction("store_checkout") as tx:
        return await _store(tx, opening, checkout.attempt, opened)


async def _store(tx: Transaction, opening: Opening, attempt: int, opened: OpenedCheckout) -> Opening:
    """A webhook may have been faster: then the purchase is paid, and this checkout is closed unless it was the one."""
    purchase = await lock_purchase(tx, opening.purchase.id)
    if purchase is None:
        raise purchase_unknown()
    checkout = next(found for found in await checkouts_of(tx, purchase.id) if found.attempt == attempt)
    if checkout.provider_id is None:
        checkout.provider_id, checkout.url, checkout.client = opened.provider_id, opened.url, dict(opened.client)
        checkout.expires_at = opened.expires_at or checkout.expires_at
        if checkout.state == "opening":
            checkout.move_to("open")
            checkout.next_look_at = tx.now + FIRST_LOOK
    due = await owed(tx, purchase)
    if superseded([checkout], due):
        tx.schedule(CLOSE_CHECKOUTS, str(purchase.id), subject=str(purchase.id))
    return Opening(purchase, due, checkout if pays(checkout, due) else None, opening.wares)


async def _opening(tx: Transaction, purchase: Purchase) -> Opening:
    due = await owed(tx, purchase)
    payable = [
        checkout
        for checkout in await checkouts_of(tx, purchase.id)
        if checkout.state in {"opening", "open"} and checkout.expires_at > tx.now and pays(checkout, due)
    ]
    sold = await wares(tx, (due and due.price_id) or purchase.price_id)
    return Opening(purchase, due, payable[-1] if payable else None, sold)


def _checkout(tx: Transaction, purchase: Purchase, due: Bill, attempt: int) -> Checkout:
    return Checkout(
        id=uuid7(),
        purchase_id=purchase.id,
        attempt=attempt,
        period=due.period,
        change_id=due.change,
        amount=due.amount,
        provider=str(purchase.provider),
        opened_at=tx.now,
        expires_at=tx.now + (PAYABLE_FOR if due.change else LIFE),
    )


def _order(purchase: Purchase, checkout: Checkout, due: Bill, sold: Wares) -> CheckoutOrder:
    recurring = _recurring(purchase, due) if sold.collection == "provider" and not due.change else None
    return CheckoutOrder(
        purchase_id=purchase.id,
        attempt=checkout.attempt,
        amount=checkout.amount,
        setup_fee=due.amount - recurring.amount + recurring.off if recurring else due.setup_fee,
        currency=purchase.currency,
        title=sold.title,
        note=_note(purchase, due),
        prepared=sold.ids.get(checkout.provider) if _is_whole(due, recurring) else None,
        recurring=recurring,
        cycle=purchase.cycle,
        email=purchase.contact["email"],
        name=purchase.contact["name"],
        locale=purchase.contact["locale"],
        success_url=purchase.success_url,
        cancel_url=purchase.cancel_url,
        expires_at=checkout.expires_at,
        save=recurs(purchase.cycle),
    )


def _recurring(purchase: Purchase, due: Bill) -> Recurring:
    """This period, and all that follow, at the tax of the order."""
    rate = Rate.model_validate(purchase.tax)
    items = [Item("", due.price), Item("", due.price, due.discount)]
    whole, less = (charge([item], rate, purchase.currency).total for item in items)
    periods = discounted_from(purchase, due.period, due.price) if due.discount else 0
    return Recurring(whole, whole - less, periods, purchase.coupon_code)


def _is_whole(due: Bill, recurring: Recurring | None) -> bool:
    """Whether a prepared price fits. What a coupon takes off a recurring one stands beside it."""
    return not due.tax_added if recurring else due.is_whole


def _note(purchase: Purchase, due: Bill) -> str | None:
    price, off = (written(amount, purchase.currency) for amount in (due.price, due.discount))
    rest = "the difference for the time that is paid" if due.change else None
    less = f"{price} less {off} with {purchase.coupon_code}" if due.discount else None
    by_credit = f"less {written(due.credited, purchase.currency)} of your credit" if due.credited else None
    plus = f"plus {told(Rate.model_validate(purchase.tax))}" if due.tax_added else None
    return ", ".join(filter(None, (rest, less, plus, by_credit))) or None


def _opened(tx: Transaction, purchase: Purchase, price: int) -> PurchaseOpened:
    recurring = recurs(purchase.cycle) and price
    return PurchaseOpened(
        subject=str(purchase.id),
        time=tx.now,
        customer_id=str(purchase.customer_id),
        product=purchase.product,
        price=str(purchase.price_id),
        plan=purchase.plan,
        amount=purchase.amount,
        discount=purchase.discount,
        coupon=purchase.coupon_code,
        currency=purchase.currency,
        provider=purchase.provider,
        contact=Contact(**purchase.contact),
        parameters=purchase.parameters,
        expires_at=purchase.expires_at,
        **(coming(purchase, 0, price).said if recurring else {}),
    )
