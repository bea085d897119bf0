"""What the providers refuse or count in their own way. Elsewhere an amount is in ISO 4217's minor unit."""

from keyturn.errors import GiveUp

# Three decimals, of which both providers want the last to be 0.
THREE_DECIMALS = frozenset(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"))
# Stripe counts these in other units than ISO 4217: a hundredfold charge, or a hundredth, would be the result.
UNLIKE_ISO_AT_STRIPE = frozenset(("ISK", "MGA", "UGX"))


def check_amount(amount: int, currency: str, *, refused: frozenset[str] = frozenset()) -> None:
    """GiveUp rather than a charge of something else than what the price says."""
    if currency in refused:
        raise GiveUp(f"{currency} cannot be sold through this provider: it counts that currency in other units")
    if currency in THREE_DECIMALS and amount % 10:
        raise GiveUp(f"an amount in {currency} must end in 0")
