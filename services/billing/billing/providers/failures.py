"""What an adapter needs to tell apart among refusals."""

from keyturn.errors import GiveUp


class NotFound(GiveUp):
    """The provider knows no object with this id."""


class PriceRefused(GiveUp):
    """A price that was prepared at the provider cannot be used. The message names it and says why: it can be told."""

    def __init__(self, prepared: str, why: str) -> None:
        super().__init__(f"the prepared price {prepared} cannot be used: {why}")
