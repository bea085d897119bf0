"""When an invoice is issued, paid and withdrawn: one for each first payment and each renewal, by a unique constraint.
Everything with a `tx` is called with the purchase locked."""

from datetime import datetime
from uuid import UUID

from billing.calendar import end_of
from billing.credits import give_credit, usable, use_credit
from billing.deps import BillingDeps
from billing.domain import Payment, Purchase
from billing.invoices import Invoice, lines_of, period_source, series_of
from billing.owing import first_bill
from billing.plan_changes import PlanChange
from billing.repository.invoices import SHOP, add_invoice, invoice_for, next_number, seller, shop_in
from billing.repository.offers import wares
from billing.subscriptions import Subscription
from billing.taxes import Buyer, Charge, Item, Rate, Sale, charge
from keyturn.database import Transaction
from keyturn.events import InvoiceIssued, InvoiceOverdue, InvoicePaid, uuid7


async def rate_for(deps: BillingDeps, buyer: Buyer) -> Rate:
    """What this customer is taxed at now. Outside of transactions: a tax service may be asked."""
    found, rules = shop_in((await deps.database.run("read_shop", SHOP))[0])
    return await deps.taxes.rate(Sale(found, rules, buyer))


def first_charge(purchase: Purchase, title: str) -> Charge:
    """What is paid first. The rate is the one of the order, whenever that is paid."""
    bill = first_bill(purchase)
    items = _items(title, purchase, bill.price, off=bill.discount, fee=bill.setup_fee)
    return charge(items, Rate.model_validate(purchase.tax), purchase.currency)


async def next_charge(tx: Transaction, purchase: Purchase, subscription: Subscription, off: int, fee: int) -> Charge:
    """Of the next period."""
    start = subscription.ends_at
    assert start
    until = end_of(start, subscription.cycle, subscription.anchor or start, subscription.zone)
    title = (await wares(tx, subscription.price_id)).title
    items = _items(title, purchase, subscription.price, off=off, fee=fee, since=start, until=until)
    return charge(items, Rate.model_validate(purchase.tax), purchase.currency)


async def issue_next(
    tx: Transaction, purchase: Purchase, subscription: Subscription, charged: Charge
) -> Invoice | None:
    """The invoice of the next period is due when the last one ends. The customer's credit is used for it, unless the
    provider collects: that charges the whole price."""
    number, due_at = subscription.number + 1, subscription.ends_at
    assert due_at
    credited = await usable(tx, purchase, charged.total) if charged.total else 0
    if credited and (await wares(tx, subscription.price_id)).collection == "provider":
        credited = 0
    source = period_source(number)
    invoice = await issue(tx, purchase, charged, source=source, due_at=due_at, period=number, credited=credited)
    if invoice and invoice.credited:
        await use_credit(tx, purchase, invoice.credited, source=f"used for {invoice.number}")
    return invoice


async def issue(
    tx: Transaction,
    purchase: Purchase,
    charged: Charge,
    *,
    source: str,
    due_at: datetime,
    period: int | None = None,
    credited: int = 0,
) -> Invoice | None:
    """One for each source, as long as it is not void: called again it gives the same. None: nothing costs anything."""
    if not charged.total:
        return None
    if known := await invoice_for(tx, purchase.id, source):
        return known
    by = await seller(tx)
    invoice = Invoice(
        id=uuid7(),
        kind="invoice",
        number=await next_number(tx, series_of(by, "invoice", tx.now, livemode=purchase.livemode)),
        purchase_id=purchase.id,
        customer_id=purchase.customer_id,
        source=source,
        period=period,
        livemode=purchase.livemode,
        currency=purchase.currency,
        net=charged.net,
        tax=charged.tax,
        total=charged.total,
        credited=credited,
        state="open",
        issued_at=tx.now,
        due_at=due_at,
        seller=by.model_dump(mode="json"),
        buyer=purchase.buyer,
        lines=lines_of(charged),
    )
    await add_invoice(tx, invoice)
    tx.publish(InvoiceIssued(**_said(tx, invoice), due_at=due_at))
    return invoice


async def paid_for(tx: Transaction, purchase: Purchase, payment: Payment) -> None:
    """A period was paid. The invoice of the first one is issued with that, a renewal's was before."""
    if payment.period == 1:
        title = (await wares(tx, purchase.price_id)).title
        await issue(tx, purchase, first_charge(purchase, title), source=period_source(1), due_at=tx.now, period=1)
    if payment.period:
        await pay(tx, purchase.id, period_source(payment.period), payment.id)


async def issue_change(tx: Transaction, purchase: Purchase, change: PlanChange, payment: Payment) -> None:
    """A change of plan was paid: the difference, as it was quoted."""
    title = (await wares(tx, change.price_id)).title
    rest = Item(f"{title}: difference", change.cost - change.unused, since=change.quoted_at, until=change.until)
    charged = charge([rest], Rate.model_validate(change.tax), change.currency)
    source = f"plan-{change.id}"
    await issue(tx, purchase, charged, source=source, due_at=tx.now)
    await pay(tx, purchase.id, source, payment.id)


async def pay(tx: Transaction, purchase_id: UUID, source: str, payment_id: UUID) -> None:
    invoice = await invoice_for(tx, purchase_id, source)
    if invoice and invoice.move_to("paid"):
        invoice.paid_at, invoice.payment_id = tx.now, payment_id
        tx.publish(InvoicePaid(**_said(tx, invoice), payment_id=str(payment_id)))


async def withdraw_invoice(tx: Transaction, purchase: Purchase, number: int) -> None:
    """Its period is no longer asked for; what was used of the customer's credit is theirs again."""
    invoice = await invoice_for(tx, purchase.id, period_source(number))
    if invoice and invoice.state == "open":
        invoice.move_to("void")
        if invoice.credited:
            await give_credit(tx, purchase, invoice.credited, source=f"void {invoice.number}")


async def overdue(tx: Transaction, purchase_id: UUID, number: int) -> None:
    invoice = await invoice_for(tx, purchase_id, period_source(number))
    if invoice and invoice.state == "open":
        tx.publish(InvoiceOverdue(**_said(tx, invoice), due_at=invoice.due_at))


def _items(
    title: str,
    purchase: Purchase,
    price: int,
    *,
    off: int,
    fee: int,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Item]:
    """The set-up fee is a line of its own, and never discounted."""
    text = title if purchase.cycle == "one_time" else f"{title}, {purchase.cycle}"
    return [Item(text, price, off, since, until), Item(f"{title}: set-up fee", fee)]


def _said(tx: Transaction, invoice: Invoice) -> dict[str, object]:
    return {
        "subject": str(invoice.purchase_id),
        "time": tx.now,
        "number": invoice.number,
        "period": invoice.period,
        "tax": invoice.tax,
        "total": invoice.total,
        "due": invoice.due,
        "currency": invoice.currency,
    }
