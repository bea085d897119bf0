"""What a signed-in customer has: billing's word on each purchase, and how its install stands."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from gateway.deps import GatewayDeps
from gateway.domain import Journey, as_billing_says
from gateway.repository import journeys
from gateway.repository.sessions import Session
from keyturn.internal import Caller

CUSTOMER = Caller(actor="customer", role="customer")
PAGE = 20  # purchases


@dataclass(frozen=True)
class Owned:
    """One purchase. `bought` is billing's, and the journey has billing's word on what is paid: both may be ahead of the
    events."""

    bought: dict[str, Any]
    journey: Journey

    @property
    def purchase_id(self) -> UUID:
        return UUID(self.bought["id"])


@dataclass(frozen=True)
class Account:
    email: str
    name: str | None
    erasure_wanted: bool
    credit: list[dict[str, Any]]  # by currency
    purchases: list[Owned]
    cursor: str | None


async def account_of(deps: GatewayDeps, session: Session, cursor: str | None, limit: int = PAGE) -> Account:
    path = f"/internal/customers/{session.customer_id}/purchases"
    told = await deps.billing.request("GET", path, CUSTOMER, params={"cursor": cursor, "limit": limit})
    async with deps.database.transaction("read_account") as tx:
        known = await journeys.find_all(tx, [UUID(one["id"]) for one in told["items"]])
    journeys_of = [(one, known.get(UUID(one["id"])) or Journey(one["id"])) for one in told["items"]]
    owned = [Owned(bought, as_billing_says(journey, bought)) for bought, journey in journeys_of]
    customer, credit = told["customer"], [one for one in told.get("credit") or () if one["balance"]]
    wish = bool(customer["erasure_wanted_at"])
    return Account(customer["email"], customer["name"], wish, credit, owned, told["cursor"])


async def want_erasure(deps: GatewayDeps, session: Session) -> None:
    await deps.billing.request("POST", f"/internal/customers/{session.customer_id}/erasure-request", CUSTOMER)
