"""What a customer of the year does: whole days, so that a life is told from its number alone."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Pacific/Auckland",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Asia/Tokyo",
)
WITH_TRIAL = ("wordpress-blog", "wordpress-store", "EUR")
OFFERS: tuple[tuple[str, str, str], ...] = (  # plan, the larger one, currency
    WITH_TRIAL,
    ("sample-starter", "sample-pro", "INR"),
    ("web-small", "web-large", "EUR"),  # with a set-up fee
    ("sample-starter", "sample-pro", "USD"),
    ("wordpress-blog", "wordpress-store", "JPY"),
)
ASKED_AHEAD, GRACE = 7, 3  # days, of the default policy


@dataclass(frozen=True)
class Life:
    """Numbers of periods. `upgrades`: in the middle of which they take the larger plan, and two later the smaller one
    again. `late`, `suspended`: which is paid only once its time has come, or once the install is suspended for it.
    `stops`: the first that is never paid. `leaves`: the last one."""

    number: int
    begins: int  # on which day
    zone: str
    offer: tuple[str, str, str]
    upgrades: int
    late: int
    suspended: int
    stops: int
    leaves: int
    by_card: bool  # leaves it to the card, where it is not empty
    refunded: bool  # the first payment of all goes back when the year is over

    @property
    def order(self) -> dict[str, Any]:
        coupon = {"coupon_code": "WELCOME10"} if self.number % 4 == 0 else {}
        email = f"customer{self.number}@year.example"
        plan, _, currency = self.offer
        chosen = {"plan_id": plan, "currency": currency, "cycle": "monthly"}
        return {"timezone": self.zone, "email": email, **chosen, **coupon}

    def other_plan(self, period: int) -> str | None:
        """Which they change to in the middle of this period."""
        small, large, _ = self.offer
        return {self.upgrades: large, self.upgrades + 2: small}.get(period)

    def is_short_of_money(self, period: int) -> bool:
        """When the card is charged."""
        return period >= self.stops or period in {self.late, self.suspended}

    def has_paid(self, period: int, since: timedelta) -> bool:
        """By a link, so long after they were asked."""
        patience = self._patience(period)
        return patience is not None and since >= timedelta(days=patience)

    def _patience(self, period: int) -> int | None:
        """None: they do not, and the card is charged if there is one."""
        if period >= self.stops:
            return None
        if period == self.suspended:
            return ASKED_AHEAD + GRACE + 2 + self.number % 4
        if period == self.late:
            return ASKED_AHEAD + 1
        gave_no_card_yet = self.offer == WITH_TRIAL and period == 2
        return None if self.by_card and not gave_no_card_yet else self.number % ASKED_AHEAD


def lives(count: int) -> list[Life]:
    return [_life(number) for number in range(count)]


def _life(number: int) -> Life:
    offer = OFFERS[number % len(OFFERS)]
    return Life(
        number=number,
        begins=number % 31,  # some on the 29th, 30th and 31st
        zone=ZONES[number % len(ZONES)],
        offer=offer,
        upgrades=2 + number % 3,
        late=3 + number % 3,
        suspended=7 + number % 2,
        stops=9 if number % 11 == 7 else 99,
        leaves=10 + number % 2,
        by_card=offer[2] != "INR" and number % 4 != 1,
        refunded=number % 50 == 11,
    )
