"""Whether there is room for one more install of a blueprint: asked at a checkout, before money is taken."""

from collections.abc import Mapping
from typing import Any

from keyturn.database import Transaction
from provisioner import rendering
from provisioner.deps import ProvisionerDeps
from provisioner.rendering import Ref
from provisioner.repository import jobs, servers
from provisioner.resources.port import Needs


class StoredRoom:
    """As the tables have it in this transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def number(self, pool: str, numbers: range) -> bool:
        return await jobs.any_free(self._tx, pool, numbers)

    async def server(self, target: str, needs: Needs, labels: Mapping[str, str]) -> bool:
        return await servers.any_room(self._tx, target, needs, labels)


async def for_one_more(deps: ProvisionerDeps, name: str, limits: Mapping[str, Any]) -> bool:
    """Of what is certain to be made, every kind has to say so. A blueprint that is not there is no question of room."""
    blueprint = deps.blueprints.get(name)
    every = blueprint.resources.values() if blueprint else ()
    wanted = [plan for plan in every if not plan.optional and plan.when is None]
    async with deps.database.transaction("room_asked") as tx:
        room = StoredRoom(tx)
        for plan in wanted:
            parameters = rendering.render(plan.parameters, lambda ref: _limit(ref, limits))
            if not await deps.kinds.has_room(plan.kind, parameters, room):
                return False
    return True


def _limit(ref: Ref, limits: Mapping[str, Any]) -> Any:
    """What is not known before the order stays as the blueprint has it."""
    return limits[ref.field] if ref.root == "plan" and ref.field in limits else f"{{{ref}}}"
