"""What each event says about a purchase, as a pure fold.

Events arrive in any order and more than once. So each event only states facts, each fact carries the stamp of its
event, and of two statements about the same thing the later stamp wins: any order of arrival gives the same journey.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

Stamp: TypeAlias = tuple[int, int, str]  # microseconds, rank among events of one instant, event id
Facts: TypeAlias = Mapping[str, tuple[Stamp, Any]]

ERASED = "erased"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Events of one transaction bear one time; among them the later in this list has the last word.
_RANK = {
    name: rank
    for rank, name in enumerate(
        (
            "purchase.opened.v1",
            "purchase.expired.v1",
            "purchase.failed.v1",
            "purchase.paid.v1",
            "purchase.disputed.v1",
            "purchase.refunded.v1",
            "subscription.renewed.v1",
            "subscription.cancelled.v1",
            "subscription.kept.v1",
            "subscription.renewal_due.v1",
            "subscription.past_due.v1",
            "subscription.charge_failed.v1",
            "subscription.warned.v1",
            "subscription.suspended.v1",
            "subscription.paused.v1",
            "subscription.resumes_soon.v1",
            "subscription.resumed.v1",
            "subscription.plan_changed.v1",
            "subscription.plan_refused.v1",
            "subscription.ended.v1",
            "entitlement.changed.v1",
            "install.requested.v1",
            "install.step_changed.v1",
            "install.waiting.v1",
            "install.failed.v1",
            "install.ready.v1",
            "install.plan_changed.v1",
            "setup_link.issued.v1",
            "install.activated.v1",
            "install.suspended.v1",
            "install.resumed.v1",
            "install.deleted.v1",
        )
    )
}
_STEP_RANK = {"pending": 0, "processing": 1, "waiting": 2, "completed": 3, "failed": 4, "undone": 5}
_SUBSCRIPTION = (
    "state",
    "period_from",
    "period_until",
    "renews_at",
    "cancel_at_period_end",
    "resumes_at",
    "due",
    "charges_at",
    "suspends_at",
    "deletes_at",
    "collection",
)
_COMING = ("cycle", "next_price", "full_price", "discounted")
_DISPUTE = {"open": "disputed", "won": "paid", "closed": "paid", "lost": "refunded"}


@dataclass(frozen=True)
class Occurrence:
    """One event as the journey sees it."""

    id: UUID
    type: str
    time: datetime
    data: Mapping[str, Any]

    @property
    def stamp(self) -> Stamp:
        rank = _RANK.get(self.type, 0) * 10 + _STEP_RANK.get(str(self.data.get("status")), 0)
        return (self.time - EPOCH) // timedelta(microseconds=1), rank, str(self.id)


def merge(facts: Facts, event: Occurrence) -> dict[str, tuple[Stamp, Any]]:
    """The facts with this event's added. Commutative, and repeating an event changes nothing."""
    merged = dict(facts)
    for name, value in _stated(event).items():
        if name not in merged or tuple(merged[name][0]) < event.stamp:
            merged[name] = (event.stamp, value)
    return merged


# What happened to a purchase without saying to whom. `erased` holds the customer's id, and stays.
_OF_NOBODY = frozenset({
    "purchase", "created_at", "paid_at", "product", "plan", "amount", "currency", "refunded", "discount", "coupon",
    "coming", "subscription", "job", "provision_job", "phase", "setup", "suspended", "ready_at", "activated_at",
    "deleted_at", ERASED,
})  # fmt: skip


def forgotten(facts: Facts, customer: str | None = None) -> dict[str, tuple[Stamp, Any]]:
    """The facts of a purchase whose customer is forgotten: from now on, where `customer` says so."""
    kept = {name: value for name, value in facts.items() if name in _OF_NOBODY or name.startswith("mail:")}
    return kept | ({ERASED: ((0, 0, ""), customer)} if customer else {})


def _stated(event: Occurrence) -> dict[str, Any]:
    data, now = event.data, event.time.astimezone(UTC).isoformat()
    group, _, fact = event.type.removesuffix(".v1").partition(".")
    if group == "purchase":
        return _purchase(fact, data, now)
    if group == "install" and "job_id" in data:
        return _job(fact, data) | _install(fact, data, now)
    if event.type == "install.activated.v1":
        return {"activated_at": now} | _present(data, "url", "admin_url")
    if event.type == "entitlement.changed.v1":
        return _present(data, "product", "plan") | _contact(data)
    if group == "subscription":
        return _subscription(event)
    return {f"mail:{data.get('template')}": fact} if group == "message" else {}


def _purchase(fact: str, data: Mapping[str, Any], now: str) -> dict[str, Any]:
    match fact:
        case "opened":
            ordered = data.get("parameters") or {}
            wanted = {"ordered_domain": ordered.get("domain") or ordered.get("subdomain")}
            known = _present(data, "customer_id", "product", "plan", "amount", "currency", "discount", "coupon")
            return {"purchase": "pending", "created_at": now} | known | _contact(data) | _coming(data) | wanted
        case "paid":
            return {"purchase": "paid", "paid_at": now} | _present(
                data, "customer_id", "product", "plan", "amount", "currency"
            )
        case "refunded":
            status = "paid" if data.get("reversed") else "refunded"
            moved = {"purchase": status} if data.get("full") or data.get("reversed") else {}
            return moved | _present(data, "refunded")
        case "disputed":
            decided = _DISPUTE.get(str(data.get("status")))
            return {"purchase": decided} if decided else {}
        case "failed" | "expired":
            return {"purchase": fact}
    return {}


def _subscription(event: Occurrence) -> dict[str, Any]:
    """Each of its events says how it stands; of types that are not known here nothing is believed."""
    if event.type not in _RANK or "state" not in event.data:
        return {}
    return {"subscription": {name: event.data.get(name) for name in _SUBSCRIPTION}} | _coming(event.data)


def _coming(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the next period costs; older events don't say."""
    return {"coming": {name: data.get(name) for name in _COMING}} if data.get("next_price") is not None else {}


def _job(fact: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """What any event of a job says about the job: that it is the current one, its steps, and what it waits for."""
    job = str(data["job_id"])
    stated: dict[str, Any] = {"job": job}
    if data.get("action") == "provision":
        stated["provision_job"] = job
    if fact == "requested":
        stated[f"plan:{job}"] = list(data.get("steps") or ())
    if fact == "step_changed":
        stated[f"step:{job}:{data['step']}"] = _present(data, "kind", "status", "attempt", "detail")
    if fact == "step_changed" and data.get("status") != "waiting":
        stated |= {f"wait:{job}:": None, f"wait:{job}:{data['step']}": None}
    if fact == "waiting":
        stated[f"wait:{job}:{data.get('step') or ''}"] = _present(data, "reason", "step", "until", "detail")
    return stated


def _install(fact: str, data: Mapping[str, Any], now: str) -> dict[str, Any]:
    makes = data.get("action") == "provision"
    stated: dict[str, Any] = {}
    match fact:
        case "requested" if makes or data.get("action") == "delete":
            stated = {"phase": "provisioning" if makes else "deleting"}
        case "ready":
            stated = {"phase": "ready", "ready_at": now} | _present(data, "url", "admin_url", "hostname", "setup")
        case "failed" if makes:
            stated = {"phase": "failed", "failure": data.get("cause")}
        case "suspended":
            stated = {"suspended": list(data.get("reasons") or ("unknown",))}
        case "resumed":
            stated = {"suspended": []} | _present(data, "url")
        case "plan_changed":
            stated = _present(data, "plan")
        case "deleted":
            stated = {"phase": "deleted", "deleted_at": now}
    return stated


def _present(data: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: data[name] for name in names if data.get(name) is not None}


def _contact(data: Mapping[str, Any]) -> dict[str, Any]:
    email = (data.get("contact") or {}).get("email")
    return {"email": email.strip().lower()} if isinstance(email, str) else {}
