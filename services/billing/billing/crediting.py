"""Credit notes: what went back of an invoice, by a refund or a lost dispute. Called with the purchase locked.

Each takes of every line's net and tax in proportion to what is left of them, by the largest remainders: so it adds up
exactly, all of them together never exceed the invoice, and the last one of a whole refund is exactly the rest. What
became credit again stands on the note of the money that went back with it; where no money did, on one of its own.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from billing.domain import Payment, Purchase
from billing.invoices import Invoice, series_of
from billing.repository.invoices import add_invoice, invoice_for, invoice_paid_by, next_number, notes_to, seller
from billing.repository.payments import returned
from billing.reversals import Dispute, Refund
from billing.taxes import shared
from keyturn.database import Transaction
from keyturn.events import CreditNoteIssued, uuid7


async def credit_refund(tx: Transaction, purchase: Purchase, payment: Payment, refund: Refund) -> None:
    """One that failed takes its note back."""
    await _credit(tx, purchase, payment, f"refund-{refund.refund_id}", 0 if refund.failed else refund.amount)


async def credit_dispute(tx: Transaction, purchase: Purchase, payment: Payment, dispute: Dispute) -> None:
    """What a lost one took. What it took in another currency is in no invoice."""
    lost = dispute.state == "lost" and dispute.currency == payment.currency
    await _credit(tx, purchase, payment, f"dispute-{dispute.dispute_id}", dispute.deducted if lost else 0)


async def _credit(tx: Transaction, purchase: Purchase, payment: Payment, source: str, amount: int) -> None:
    known = await invoice_for(tx, purchase.id, source)
    if known and not amount:
        known.move_to("void")
        await tx.session.flush()
        await credit_returned(tx, purchase, payment, f"{source}-credit")
    elif amount and not known:
        await _note(tx, purchase, payment, source, amount)


async def credit_returned(tx: Transaction, purchase: Purchase, payment: Payment, source: str) -> None:
    """What became credit again and stands on no note yet, whose money did not go back."""
    await _note(tx, purchase, payment, source, 0)


async def _note(tx: Transaction, purchase: Purchase, payment: Payment, source: str, money: int) -> None:
    invoice = await invoice_paid_by(tx, purchase.id, payment.id)
    if invoice is None:
        return
    notes = await notes_to(tx, invoice.number)
    credited = max(0, await returned(tx, payment.id) - sum(note.credited for note in notes))
    taken = part_of(left_of(invoice.lines, [note.lines for note in notes]), money + credited)
    total = sum(net + tax for net, tax in taken)
    if total:
        await _issue(tx, invoice, source, taken, min(credited, total))


def left_of(lines: Sequence[dict[str, Any]], notes: Sequence[Sequence[dict[str, Any]]]) -> list[tuple[int, int]]:
    """Net and tax of each line, less what its notes have taken."""
    return [
        (
            line["net"] - sum(note[place]["net"] for note in notes),
            line["tax"] - sum(note[place]["tax"] for note in notes),
        )
        for place, line in enumerate(lines)
    ]


def part_of(left: Sequence[tuple[int, int]], amount: int) -> list[tuple[int, int]]:
    """Net and tax of each line of a note of this amount, or of all that is left."""
    amounts = list(chain.from_iterable(left))
    parts = shared(min(amount, sum(amounts)), amounts)
    return list(zip(parts[::2], parts[1::2], strict=True))


async def _issue(
    tx: Transaction, invoice: Invoice, source: str, taken: Sequence[tuple[int, int]], credited: int
) -> None:
    by = await seller(tx)
    lines = [
        line | {"amount": net + tax, "discount": 0, "net": net, "tax": tax}
        for line, (net, tax) in zip(invoice.lines, taken, strict=True)
    ]
    net, tax = (sum(line[name] for line in lines) for name in ("net", "tax"))
    note = Invoice(
        id=uuid7(),
        kind="credit_note",
        number=await next_number(tx, series_of(by, "credit_note", tx.now, livemode=invoice.livemode)),
        purchase_id=invoice.purchase_id,
        customer_id=invoice.customer_id,
        source=source,
        period=invoice.period,
        livemode=invoice.livemode,
        currency=invoice.currency,
        net=net,
        tax=tax,
        total=net + tax,
        credited=credited,
        state="paid",
        issued_at=tx.now,
        due_at=tx.now,
        paid_at=tx.now,
        payment_id=invoice.payment_id,
        corrects=invoice.number,
        seller=by.model_dump(mode="json"),
        buyer=invoice.buyer,
        lines=lines,
    )
    await add_invoice(tx, note)
    tx.publish(
        CreditNoteIssued(
            subject=str(note.purchase_id),
            time=tx.now,
            number=note.number,
            invoice=invoice.number,
            tax=note.tax,
            total=note.total,
            credited=note.credited,
            currency=note.currency,
        )
    )
