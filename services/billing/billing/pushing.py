"""A change of plan that the install does not follow, because its job waits for somebody: an operator pushes it on, or
calls it off."""

from uuid import UUID

from billing.acts import audit, level_of, locked
from billing.deps import BillingDeps
from billing.entitlements import push
from billing.errors import no_plan_change
from billing.following import lapse, refused
from billing.plan_changes import PlanChange
from billing.repository.plan_changes import change_under_way
from keyturn.internal import Caller

CALLED_OFF = "called_off"


async def push_on(deps: BillingDeps, caller: Caller, purchase_id: UUID, reason: str) -> PlanChange:
    """The provisioner is told once more, as something new: the job that waits makes room for another one."""
    async with deps.database.transaction("push_plan") as tx:
        _, subscription = await locked(tx, purchase_id)
        change = await change_under_way(tx, purchase_id)
        if change is None or change.state != "applying":
            raise no_plan_change()
        await push(tx, purchase_id)
        audit(
            tx, caller, "push_plan", subscription, reason=reason, before={"plan": change.to_plan}, plan=change.to_plan
        )
        return change


async def call_off(deps: BillingDeps, caller: Caller, purchase_id: UUID, reason: str) -> PlanChange:
    """The old plan, and the money for the new one, come back. One that nobody has paid yet is asked for no more."""
    async with deps.database.transaction("call_off_plan") as tx:
        purchase, subscription = await locked(tx, purchase_id)
        change = await change_under_way(tx, purchase_id)
        if change is None:
            raise no_plan_change()
        before = level_of(subscription) | {"plan": change.to_plan}
        await lapse(tx, purchase)
        await refused(tx, purchase, CALLED_OFF)
        audit(tx, caller, "call_off_plan", subscription, reason=reason, before=before, plan=change.from_plan)
        return change
