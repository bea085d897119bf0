"""A customer who is forgotten. `subject` is each of their purchases in turn; there is nothing but ids in it."""

from typing import Literal

from keyturn.events.envelope import Event


class CustomerErasureWanted(Event, wire="customer.erasure_wanted.v1", publisher="billing"):
    """A customer asks to be forgotten, once; an operator does it. `subject` is their newest purchase."""

    customer_id: str


class CustomerErased(Event, wire="customer.erased.v1", publisher="billing"):
    """Whoever keeps anything personal about this purchase, or about the customer, erases it now. What the law wants
    kept stays in billing."""

    customer_id: str


class CustomerDataErased(Event, wire="customer.data_erased.v1", publisher="*"):
    """One service has erased what it kept of this purchase."""

    customer_id: str
    service: Literal["gateway", "billing", "provisioner", "notifier"]
