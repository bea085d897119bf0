"""A certificate as it is kept, and the rules: when it is renewed, how long a failure keeps it, when somebody is told of
its end."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from provisioner.resources.acme_client import Challenge
from provisioner.resources.tls_pairs import Facts

# What keeps it from being there: it is tried again, the server's limit, an operator, whoever owns the name, nothing.
Trouble = Literal["retry", "capacity", "operator", "owner", "permanent"]
PARKED: frozenset[Trouble] = frozenset({"operator", "owner", "permanent"})

RENEWED_AFTER = 2 / 3  # of its lifetime, where the server has no opinion
KEPT_FOR = 1 / 24  # of its lifetime, at least
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=5), timedelta(hours=24)  # servers allow five failures of a name an hour
REMINDERS = (21, 14, 7, 3, 1, 0)  # days before the end
NEAR = 4  # and only in the last quarter of its life: one that lives six days is always near its end


@dataclass(eq=False)
class Certificate:
    """`order_*`: what is under way; `key`, `chain`: what is there. Keys are sealed. Times are our clock's. `given`: the
    operator's own chain, which is only watched."""

    id: UUID
    fingerprint: str
    names: list[str]
    challenge: Challenge | Literal["given"]
    created_at: datetime
    given: str | None = None
    order_key: str | None = None
    order_url: str | None = None
    ordered_at: datetime | None = None
    key: str | None = None
    chain: str | None = None
    serial: str | None = None
    issued_at: datetime | None = None
    expires_at: datetime | None = None
    renew_at: datetime | None = None
    failures: int = 0
    retry_at: datetime | None = None
    trouble: Trouble | None = None
    message: str | None = None
    reminded: int | None = None

    def kept_for_others(self, base_domain: str, now: datetime) -> bool:
        """The wildcard that serves all installs outlives each: to order it anew for the next would use up the few that
        a server gives for one set of names. Unused it is not renewed."""
        valid = self.expires_at is not None and self.expires_at > now
        return valid and f"*.{base_domain}" in self.names

    def wanted(self, now: datetime) -> bool:
        """Whether there is something to order, or an order to go on with."""
        return self.chain is None or self.order_url is not None or (self.renew_at is not None and self.renew_at <= now)

    def ordered(self, key: str, url: str, now: datetime) -> None:
        self.order_key, self.order_url, self.ordered_at = key, url, now

    def forget_order(self) -> None:
        self.order_key = self.order_url = None

    def issued(self, key: str, chain: str, facts: Facts, real_now: datetime, now: datetime) -> None:
        """TLS lives by the real time, our renewals and reminders by our clock: the same spans from now on."""
        self.forget_order()
        self.key, self.chain, self.serial = key, chain, facts.serial
        self.issued_at, self.expires_at = now, now + (facts.ends - real_now)
        self.renew_at = now + (self.expires_at - now) * RENEWED_AFTER
        self.failures, self.reminded = 0, None
        self.cleared()

    def lies_there(self, facts: Facts, real_now: datetime, now: datetime) -> None:
        """Of the operator's own pair."""
        if facts.serial != self.serial:
            self.serial, self.reminded = facts.serial, None
            self.issued_at, self.expires_at = now - (real_now - facts.begins), now + (facts.ends - real_now)

    def agreed(self, renew_at: datetime) -> None:
        """The server's wish. Not at once: one that wishes it of all that it issues would never be done."""
        if self.issued_at and self.expires_at:
            self.renew_at = max(renew_at, self.issued_at + (self.expires_at - self.issued_at) * KEPT_FOR)

    def cleared(self) -> None:
        self.retry_at = self.trouble = self.message = None

    def troubled(self, trouble: Trouble, message: str, now: datetime, after: timedelta | None = None) -> None:
        """What is there keeps being renewed, ever more seldom, whatever the trouble; what was never there is parked
        where somebody has to act."""
        self.trouble, self.message = trouble, message
        if trouble != "capacity":
            self.failures += 1
        parked = trouble in PARKED and self.chain is None
        self.retry_at = None if parked else now + (after if after is not None else pause(self.failures))

    def reminder(self, now: datetime) -> int | None:
        """Within how many days it ends, where that is to be told now."""
        if self.expires_at is None or self.issued_at is None:
            return None
        left = self.expires_at - now
        if left > (self.expires_at - self.issued_at) / NEAR:
            return None
        near = [days for days in REMINDERS if left <= timedelta(days=days)]
        level = min(near, default=None)
        return level if level is not None and (self.reminded is None or level < self.reminded) else None


def pause(failures: int) -> timedelta:
    doubled: timedelta = FIRST_PAUSE * 2 ** min(max(failures - 1, 0), 20)
    return min(doubled, LONGEST_PAUSE)


def fingerprint(names: Sequence[str], given: str = "") -> str:
    """The same for the same names, in whichever order: one certificate for them, whoever asks."""
    return hashlib.sha256("\n".join([*sorted(names), given]).encode()).hexdigest()
