"""The daily comparison of installs with what billing says their customers are entitled to. It only tells."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

from keyturn.database import Transaction
from keyturn.events import Compared, EntitlementsListed, InstallsCompared, Listed, Mismatch
from provisioner.repository.auditing import Standing, standing_between

GRACE = timedelta(minutes=15)  # in which a change is carried out, and its event on its way
OVERDUE = timedelta(days=1)  # behind the time of a deletion
MOST = 1000  # installs read for a page
TOLD = 500
LONGEST = 300  # causes


async def on_entitlements_listed(event: EntitlementsListed, tx: Transaction) -> None:
    upto = UUID(event.upto) if event.upto else None
    installs = await standing_between(tx, UUID(event.after), upto, MOST)
    causes = {install.id: install.cause[:LONGEST] or None for install in installs}
    found = [
        Compared(purchase_id=str(id_), mismatch=what, cause=causes.get(id_)) for id_, what in compared(event, installs)
    ]
    answer = {"run_id": event.run_id, "page": event.page, "found": found[:TOLD]}
    truncated = len(installs) == MOST or len(found) > TOLD
    tx.publish(InstallsCompared(subject=event.subject, time=tx.now, truncated=truncated, **answer))


def compared(event: EntitlementsListed, installs: list[Standing]) -> Iterator[tuple[UUID, Mismatch]]:
    there = {install.id: install for install in installs}
    listed = {UUID(one.purchase_id): one for one in event.items}
    whole = len(installs) < MOST
    for id_, one in listed.items():
        if one.since > event.time - GRACE:
            continue
        if install := there.get(id_):
            if what := _mismatch(install, one, event.time):
                yield id_, what
        elif whole and one.wanted != "ended":
            yield id_, "install_missing"
    for install in installs:
        if install.id not in listed and install.state != "deleted" and install.created_at < event.time - GRACE:
            yield install.id, "install_without_payment"


def _mismatch(install: Standing, listed: Listed, now: datetime) -> Mismatch | None:
    if install.version != listed.version:
        return "install_behind" if install.version < listed.version else "install_ahead"
    runs = install.state in {"active", "setup_pending"}
    if listed.wanted == "on":
        if install.state in {"suspended", "failed", "deleting", "deleted"}:
            return None if install.held else "paid_but_off"
        late = install.begun_at is not None and install.begun_at < now - OVERDUE
        return "plan_not_followed" if install.action == "change_plan" and (install.parked or late) else None
    if listed.wanted == "suspended":
        return "suspended_but_running" if runs else None
    if runs:
        return "ended_but_running"
    late = install.delete_after is not None and install.delete_after < now - OVERDUE
    return "ended_but_there" if late and install.state != "deleted" else None
