"""The bills of a purchase. `subject` is the purchase id."""

from pydantic import AwareDatetime

from keyturn.events.envelope import Event


class InvoiceEvent(Event):
    """The fields of each. `total` holds the `tax`; `due` is what the customer's credit leaves of it, in minor units of
    `currency`."""

    number: str
    period: int | None = None
    tax: int
    total: int
    due: int
    currency: str


class InvoiceIssued(InvoiceEvent, wire="invoice.issued.v1", publisher="billing"):
    """It has a number, and stays as it is. One of a renewal can be paid until `due_at`; another is paid at once."""

    due_at: AwareDatetime


class InvoicePaid(InvoiceEvent, wire="invoice.paid.v1", publisher="billing"):
    """Paid, by a payment or by credit."""

    payment_id: str


class CreditNoteIssued(Event, wire="credit_note.issued.v1", publisher="billing"):
    """So much of an `invoice` went back, by a refund or a lost dispute; `number` is the note's own. `total` holds the
    `tax`; `credited` of it became the customer's credit again, the rest is money."""

    number: str
    invoice: str
    tax: int
    total: int
    credited: int = 0
    currency: str


class CreditLeft(Event, wire="credit.left.v1", publisher="billing"):
    """The customer's last subscription has ended, and there is credit that nothing uses any more: `amount` is all of
    it in this currency. An operator pays it out, or forfeits it; a new subscription would use it."""

    customer_id: str
    amount: int
    currency: str


class InvoiceOverdue(InvoiceEvent, wire="invoice.overdue.v1", publisher="billing"):
    """Nobody has paid it by `due_at`."""

    due_at: AwareDatetime
