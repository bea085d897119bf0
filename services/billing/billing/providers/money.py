"""What the providers refuse or count in their own way. Elsewhere an amount is in ISO 4217's minor unit."""

from keyturn.errors import GiveUp

# Three decimals, of which both providers want the last to be 0.
THREE_DECIMALS = frozenset(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"))
NO_DECIMALS = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF")
)
# Stripe counts these in other units than ISO 4217: a hundredfold charge, or a hundredth, would be the result.
UNLIKE_ISO_AT_STRIPE = frozenset(("ISK", "MGA", "UGX"))

RAZORPAY_MINIMUM = 100  # paise: it takes no smaller order
# What Stripe documents; for other currencies it goes by the exchange rate, and says so itself.
STRIPE_MINIMUMS = {
    "AED": 200, "AUD": 50, "BRL": 50, "CAD": 50, "CHF": 50, "CZK": 1500, "DKK": 250, "EUR": 50, "GBP": 30, "HKD": 400,
    "HUF": 17500, "INR": 50, "JPY": 50, "MXN": 1000, "MYR": 200, "NOK": 300, "NZD": 50, "PLN": 200, "RON": 200,
    "SEK": 300, "SGD": 50, "THB": 1000, "USD": 50,
}  # fmt: skip


RAZORPAY_UNATTENDED = 1_500_000  # paise: what is more, a customer has to allow at every debit


def usual_provider(currency: str) -> str:
    return "razorpay" if currency == "INR" else "stripe"


def uncollectable(provider: str, currency: str, amount: int) -> str | None:
    """Why a provider cannot charge this by itself again and again, as far as that is known."""
    if provider != "razorpay":
        return None
    if currency != "INR":
        return f"razorpay collects nothing in {currency} by itself"
    most = written(RAZORPAY_UNATTENDED, currency)
    return f"more than {most} is not debited without the customer" if amount > RAZORPAY_UNATTENDED else None


def step_of(currency: str) -> int:
    """Of which number every amount that can be paid in this currency is a multiple."""
    return 10 if currency in THREE_DECIMALS else 1


def smallest(provider: str, currency: str) -> int:
    """What the provider takes at least, as far as that is known."""
    if provider == "razorpay":
        return RAZORPAY_MINIMUM if currency == "INR" else 1
    return STRIPE_MINIMUMS.get(currency, 1)


def written(amount: int, currency: str) -> str:
    """`49.00 EUR`: the same in every language, for the providers' pages."""
    decimals = 0 if currency in NO_DECIMALS else 3 if currency in THREE_DECIMALS else 2
    digits = str(amount).rjust(decimals + 1, "0")
    return f"{digits[:-decimals]}.{digits[-decimals:]} {currency}" if decimals else f"{digits} {currency}"


def check_amount(amount: int, currency: str, *, refused: frozenset[str] = frozenset()) -> None:
    """GiveUp rather than a charge of something else than what the price says."""
    if currency in refused:
        raise GiveUp(f"{currency} cannot be sold through this provider: it counts that currency in other units")
    if amount % step_of(currency):
        raise GiveUp(f"an amount in {currency} must end in 0")
