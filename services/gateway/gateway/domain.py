"""One purchase as everything that was said about it adds up. What is said, and in what order it counts: `facts`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gateway.facts import Facts


@dataclass(frozen=True)
class Step:
    """One resource's part in making the install."""

    name: str
    kind: str | None = None
    status: str = "pending"
    attempt: int = 0
    detail: str | None = None


@dataclass(frozen=True)
class Waiting:
    """What the job waits for; `until` is None where somebody must act first."""

    reason: str
    step: str | None = None
    until: datetime | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Subscription:
    """How a recurring purchase stands. `period_from`, `period_until`: what is paid; `due`: what can be paid now."""

    state: str
    period_from: datetime | None = None
    period_until: datetime | None = None
    renews_at: datetime | None = None
    cancel_at_period_end: bool = False
    resumes_at: datetime | None = None
    due: int | None = None
    charges_at: datetime | None = None
    suspends_at: datetime | None = None
    deletes_at: datetime | None = None
    collection: str = "keyturn"


@dataclass(frozen=True)
class Coming:
    """What the next period of something that recurs costs, and any without the coupon, which counts for `discounted`
    (a number, or `always`) of the periods to come."""

    cycle: str
    next_price: int
    full_price: int
    discounted: int | str = 0


@dataclass(frozen=True)
class Journey:
    """One purchase as it stands. `email` and `customer_id` are for checking a proof, never for showing to others."""

    purchase_id: str
    status: str = "pending"
    purchase_status: str = "pending"
    product: str | None = None
    plan: str | None = None
    amount: int | None = None
    currency: str | None = None
    discount: int = 0
    coupon: str | None = None
    coming: Coming | None = None
    refunded: int = 0
    email: str | None = None
    customer_id: str | None = None
    domain: str | None = None
    url: str | None = None
    admin_url: str | None = None
    steps: tuple[Step, ...] = ()
    waiting: Waiting | None = None
    subscription: Subscription | None = None
    failure: str | None = None
    suspended_for: tuple[str, ...] = ()
    mail: str | None = None
    created_at: datetime | None = None
    paid_at: datetime | None = None
    ready_at: datetime | None = None
    activated_at: datetime | None = None
    deleted_at: datetime | None = None


def read(purchase_id: str, facts: Facts) -> Journey:
    """The journey that these facts describe."""
    known: dict[str, Any] = {name: value for name, (_, value) in facts.items()}
    moments: dict[str, Any] = {name: _moment(known.get(name)) for name in _MOMENTS}
    failed = known.get("phase") == "failed"
    return Journey(
        purchase_id=purchase_id,
        status=_status(known),
        purchase_status=known.get("purchase", "pending"),
        domain=known.get("hostname") or known.get("ordered_domain"),
        steps=_steps(known),
        waiting=_waiting(known),
        subscription=_subscription(known.get("subscription")),
        failure=known.get("failure") if failed else None,
        suspended_for=tuple(known.get("suspended") or ()),
        mail=known.get("mail:setup"),
        discount=known.get("discount", 0),
        coming=_coming(known.get("coming")),
        refunded=known.get("refunded", 0),
        **{
            name: known.get(name)
            for name in ("product", "plan", "amount", "currency", "coupon", "email", "customer_id", "url", "admin_url")
        },
        **moments,
    )


def as_billing_says(journey: Journey, bought: Mapping[str, Any]) -> Journey:
    """The journey with billing's word on what is paid, which may be ahead of the events."""
    standing = bought.get("subscription") or {}
    said = {"product": bought["product"], "plan": standing.get("plan") or bought["plan"]}
    said |= {"discount": bought.get("discount") or 0, "coupon": bought.get("coupon"), "amount": bought["amount"]}
    told = standing | {"state": standing.get("status"), "cycle": bought["cycle"]}
    coming = _coming(told) if standing.get("next_price") is not None else journey.coming
    created = journey.created_at or _moment(bought["created_at"])
    more = {"currency": bought["currency"], "refunded": bought["refunded"], "purchase_status": bought["status"]}
    return replace(journey, **said, **more, created_at=created, subscription=_subscription(told), coming=coming)


_MOMENTS = ("created_at", "paid_at", "ready_at", "activated_at", "deleted_at")


def _status(known: Mapping[str, Any]) -> str:
    phase = str(known.get("phase", "pending"))
    if phase in ("deleted", "deleting"):
        return phase
    if known.get("suspended"):
        return "suspended"
    if phase != "ready":
        return phase
    return "active" if known.get("activated_at") or not known.get("setup") else "setup_pending"


def _steps(known: Mapping[str, Any]) -> tuple[Step, ...]:
    job = known.get("provision_job")
    if job is None:
        return ()
    prefix = f"step:{job}:"
    planned: list[str] = list(known.get(f"plan:{job}") or ())
    seen = sorted(name.removeprefix(prefix) for name in known if name.startswith(prefix))
    names = planned + [name for name in seen if name not in planned]
    return tuple(Step(name=name, **known.get(prefix + name, {})) for name in names)


def _waiting(known: Mapping[str, Any]) -> Waiting | None:
    waits = [wait for name, wait in known.items() if wait and name.startswith(f"wait:{known.get('job')}:")]
    if not waits or known.get("phase") in ("ready", "failed", "deleted"):
        return None
    first = min(waits, key=lambda wait: (wait.get("until") or "", wait.get("step") or ""))
    return Waiting(**first | {"until": _moment(first.get("until"))})


def _coming(told: Mapping[str, Any] | None) -> Coming | None:
    if not told or not told.get("cycle"):
        return None
    return Coming(told["cycle"], told["next_price"], told["full_price"], told.get("discounted") or 0)


def _subscription(told: Mapping[str, Any] | None) -> Subscription | None:
    """`told`: also as billing answers, in events' words."""
    if not told or not told.get("state"):
        return None
    names = ("period_from", "period_until", "renews_at", "resumes_at", "charges_at", "suspends_at", "deletes_at")
    moments: dict[str, Any] = {name: _moment(told.get(name)) for name in names}
    plain: dict[str, Any] = {"due": told.get("due"), "collection": told.get("collection") or "keyturn"}
    return Subscription(told["state"], **moments, **plain, cancel_at_period_end=bool(told.get("cancel_at_period_end")))


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
