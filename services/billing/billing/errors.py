"""What billing refuses, and how it says so.

KeyturnError
├── ImpossibleTransition   a state that cannot follow: refused, and recorded by whoever tried
├── CatalogError           (Misconfigured) a catalogue that is not taken, with file and line
└── Problem                an answer to a caller; the functions below make them
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from keyturn.errors import KeyturnError, Misconfigured, Problem

FAULTS_TOLD = 100


class ImpossibleTransition(KeyturnError):
    def __init__(self, thing: str, current: str, wanted: str) -> None:
        super().__init__(f"a {thing} that is {current} cannot become {wanted}")
        self.thing, self.current, self.wanted = thing, current, wanted


@dataclass(frozen=True)
class Fault:
    """What is wrong with a catalogue, and where."""

    file: str
    line: int
    detail: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.detail}"


class CatalogError(Misconfigured):
    """Every fault of the file at once, a line each: `catalog.yaml:12: ...`."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


def catalog_faulty(error: CatalogError) -> Problem:
    faults = [asdict(fault) for fault in error.faults[:FAULTS_TOLD]]
    return Problem(422, "catalog_faulty", str(error.faults[0]), faults=faults)


def unknown(what: str, value: str) -> Problem:
    """`what`: product, plan, cycle, currency, coupon, country or run."""
    return Problem(422, f"unknown_{what}", f"There is no {what} {value!r}.")


def coupon_expired(code: str) -> Problem:
    return Problem(422, "coupon_expired", f"{code} is no longer valid.")


def coupon_not_yet_valid(code: str) -> Problem:
    return Problem(422, "coupon_not_yet_valid", f"{code} is not valid yet.")


def coupon_not_for_product(code: str, product: str) -> Problem:
    return Problem(422, "coupon_not_for_product", f"{code} is not for {product}.")


def coupon_not_for_currency(code: str, currency: str) -> Problem:
    return Problem(422, "coupon_not_for_currency", f"{code} is not for prices in {currency}.")


def coupon_used_up(code: str) -> Problem:
    return Problem(409, "coupon_used_up", f"{code} has been used as often as it may be.")


def coupon_used_by_you(code: str) -> Problem:
    return Problem(409, "coupon_used_by_you", f"You have used {code} as often as you may.")


def coupon_unknown() -> Problem:
    return Problem(404, "coupon_unknown", "There is no such coupon.")


def coupon_exists(code: str) -> Problem:
    return Problem(409, "coupon_exists", f"There is a coupon {code} already.")


def amount_too_small(provider: str, least: int, currency: str) -> Problem:
    detail = f"{provider} takes no payment below {least} {currency} (minor units)."
    return Problem(422, "amount_too_small", detail, least=least, currency=currency)


def not_collectable(why: str) -> Problem:
    return Problem(422, "not_collectable", f"This price is collected by the provider, and {why}.")


def invalid_email(detail: str) -> Problem:
    return Problem(422, "invalid_email", detail)


def provider_not_available(provider: str) -> Problem:
    return Problem(422, "provider_not_available", f"Payments through {provider} are not set up here.")


def provider_unavailable(provider: str) -> Problem:
    return Problem(503, "provider_unavailable", f"{provider} does not answer at the moment; try again.")


def provider_refused(provider: str, why: str | None = None) -> Problem:
    told = why or f"{provider} did not accept the request"
    return Problem(502, "provider_refused", f"{told}; an operator has to look.")


def tax_unavailable() -> Problem:
    return Problem(503, "tax_unavailable", "The tax cannot be worked out at the moment; try again.")


def purchase_id_reused(purchase_id: UUID) -> Problem:
    return Problem(409, "purchase_id_reused", f"Purchase {purchase_id} was opened with another request.")


def purchase_unknown() -> Problem:
    return Problem(404, "purchase_unknown", "There is no such purchase.")


def customer_unknown() -> Problem:
    return Problem(404, "customer_unknown", "There is no such customer.")


def customer_not_done(standing: Sequence[Mapping[str, str]]) -> Problem:
    detail = "Something of theirs still runs or is undecided; end it first."
    return Problem(409, "customer_not_done", detail, standing=list(standing))


def trial_needs_card() -> Problem:
    return Problem(422, "trial_needs_card", "This trial begins with a card, which only Stripe saves here.")


def trial_taken() -> Problem:
    return Problem(409, "trial_taken", "Another order of this customer has the trial by now: order anew.")


def no_plan_change() -> Problem:
    return Problem(409, "no_plan_change", "No change of plan is under way.")


def customer_has_credit(left: Mapping[str, int]) -> Problem:
    told = ", ".join(f"{balance} {currency}" for currency, balance in left.items())
    return Problem(409, "customer_has_credit", f"Pay out or forfeit their credit first: {told} (minor units).")


def payment_unknown() -> Problem:
    return Problem(404, "payment_unknown", "There is no such payment.")


def return_not_verified() -> Problem:
    return Problem(422, "return_not_verified", "What the browser brought back does not belong to this purchase.")


def already_paid(purchase_id: UUID) -> Problem:
    return Problem(409, "already_paid", f"Purchase {purchase_id} is paid already.")


def amount_differs(due: int, currency: str) -> Problem:
    return Problem(
        422, "amount_differs", f"What is owed is {due} {currency} (minor units).", due=due, currency=currency
    )


def reference_used(reference: str) -> Problem:
    return Problem(
        409, "reference_used", f"The payment {reference!r} is booked already, for another purchase or amount."
    )


def run_unknown() -> Problem:
    return Problem(404, "run_unknown", "There is no such run.")


def run_under_way(name: str) -> Problem:
    return Problem(409, "run_under_way", f"A run {name!r} is under way; wait for its end.")


def not_in_review() -> Problem:
    return Problem(409, "not_in_review", "This payment is not waiting for a decision.")


def not_refundable(detail: str) -> Problem:
    return Problem(409, "not_refundable", detail)


def refund_too_large(left: int, currency: str) -> Problem:
    return Problem(422, "refund_too_large", f"Only {left} {currency} (minor units) can still go back.", left=left)


def credit_part_too_large(left: int, currency: str) -> Problem:
    detail = f"Only {left} {currency} (minor units) of it was paid by credit and can be credit again."
    return Problem(422, "credit_part_too_large", detail, left=left)


def credit_too_small(balance: int, currency: str) -> Problem:
    detail = f"The customer has {balance} {currency} (minor units) of credit."
    return Problem(422, "credit_too_small", detail, balance=balance)


def no_subscription() -> Problem:
    return Problem(404, "subscription_unknown", "There is no such subscription.")


def subscription_over() -> Problem:
    return Problem(409, "subscription_over", "This subscription has ended.")


def invoice_unknown() -> Problem:
    return Problem(404, "invoice_unknown", "There is no such invoice.")


def cannot_change_plan(why: str) -> Problem:
    return Problem(409, "cannot_change_plan", why)


def quote_unknown() -> Problem:
    return Problem(404, "quote_unknown", "There is no such quote.")


def quote_expired() -> Problem:
    return Problem(409, "quote_expired", "This quote has run out: ask for another one.")


def quote_outdated() -> Problem:
    return Problem(409, "quote_outdated", "What it was quoted for has changed: ask for another one.")


def cannot_pause(why: str) -> Problem:
    return Problem(409, "cannot_pause", why)


def invalid_cursor() -> Problem:
    return Problem(422, "invalid_cursor", "The cursor is not one that an earlier page gave.")
