"""Who cannot be given what they order is told before they pay; and buys once there is room."""

import pytest

from sandbox.ports import free_port
from support.whole import Begin

pytestmark = pytest.mark.servers


async def test_nothing_is_sold_for_which_there_is_no_room(begin: Begin) -> None:
    port = free_port()
    async with begin("memory", LOCAL_PORTS=f"{port}-{port}") as system:
        first = await system.buy()
        await system.activate(first)
        order = {"email": system.email(), "currency": "EUR", "subdomain": "second"}
        refused = await system.client.post("/api/checkout", json=order)
        assert (refused.status_code, refused.json()["code"]) == (409, "no_capacity")
        assert len((await system.ask("/api/purchases"))["items"]) == 1
        checked = await system.client.post("/api/check-subdomain", json={"subdomain": "second"})
        assert checked.json()["available"] is True
        await system.tell(f"/api/installs/{first.purchase_id}/delete", now=True)
        await system.wait_for(first, "install.deleted")
        assert (await system.client.post("/api/checkout", json=order)).status_code == 200
