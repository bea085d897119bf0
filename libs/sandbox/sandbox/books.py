"""What a stand-in's account holds, for counting from outside whether money was lost or doubled."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One captured payment; `refunded` and `lost` (to a dispute) are parts of `amount`."""

    payment_key: str
    reference: str | None  # the purchase that the payment names, if it names any
    amount: int
    currency: str
    refunded: int = 0
    lost: int = 0

    @property
    def kept(self) -> int:
        return self.amount - self.refunded - self.lost
