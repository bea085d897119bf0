"""What a signed-in customer has: billing's word on each purchase, and how its install stands."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from gateway.deps import GatewayDeps
from gateway.domain import Journey
from gateway.repository import journeys
from gateway.repository.sessions import Session
from keyturn.internal import Caller

CUSTOMER = Caller(actor="customer", role="customer")
PAGE = 20  # purchases


@dataclass(frozen=True)
class Owned:
    """One purchase. `bought` is billing's; a purchase that is a moment old has no events yet."""

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
    purchases: list[Owned]
    cursor: str | None


async def account_of(deps: GatewayDeps, session: Session, cursor: str | None, limit: int = PAGE) -> Account:
    path = f"/internal/customers/{session.customer_id}/purchases"
    told = await deps.billing.request("GET", path, CUSTOMER, params={"cursor": cursor, "limit": limit})
    async with deps.database.transaction("read_account") as tx:
        known = await journeys.find_all(tx, [UUID(one["id"]) for one in told["items"]])
    owned = [Owned(one, known.get(UUID(one["id"])) or Journey(one["id"])) for one in told["items"]]
    customer = told["customer"]
    return Account(customer["email"], customer["name"], bool(customer["erasure_wanted_at"]), owned, told["cursor"])


async def want_erasure(deps: GatewayDeps, session: Session) -> None:
    await deps.billing.request("POST", f"/internal/customers/{session.customer_id}/erasure-request", CUSTOMER)
