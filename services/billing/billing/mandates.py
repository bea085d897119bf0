"""What a customer saved with the provider, and each attempt to charge it. No framework and no database.

The ids are no secrets: nobody does anything with them without the provider's key. Still they stand in no event and no
answer.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

ChargeState = Literal[
    "asked", "paid", "failed", "dropped"
]  # dropped: paid in another way, or in dispute, before it was made


@dataclass(kw_only=True, eq=False)
class Mandate:
    """The last one that was saved. `refused`: the code for which nothing is charged to it any more."""

    purchase_id: UUID
    provider: str
    customer_id: str
    method_id: str
    saved_at: datetime
    refused: str | None = None


@dataclass(kw_only=True, eq=False)
class Charge:
    """Written before the provider is asked; its id is the key under which that happens once. While it is `asked`,
    nothing else happens to its subscription by itself."""

    id: UUID
    purchase_id: UUID
    period: int  # which one it pays
    attempt: int
    amount: int
    currency: str
    provider: str
    customer_id: str
    method_id: str
    state: ChargeState = "asked"
    provider_id: str | None = None
    code: str | None = None
    asked_at: datetime
    decided_at: datetime | None = None
    change_id: ClassVar[UUID | None] = None  # only a period is charged, no change of plan
