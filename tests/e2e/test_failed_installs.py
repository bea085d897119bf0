"""Rules 10 and 16: what cannot be made is told once and undone, the operator can try again, and nobody else notices."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from sandbox.loopback import Loopback
from sandbox.shopper import Bought
from support import recipes
from support.neighbour import Neighbour
from support.ways import IN_MEMORY
from support.whole import Begin, Way, Whole

pytestmark = [pytest.mark.servers, IN_MEMORY]


def _blueprint(neighbour: str) -> dict[str, Any]:
    first = {"type": "http.call", "url": f"{neighbour}/first/{{install.id}}", "capture": {"value": "value"}}
    second = {"type": "http.call", "url": f"{neighbour}/second/{{install.id}}", "json": {"at": "{app.url}"}}
    third = {"type": "http.check", "url": f"{neighbour}/third/{{install.id}}", "within": 0}
    return recipes.tiny({"port_variable": "{first.value}"}, first=first, second=second, third=third)


@pytest.fixture(scope="module")
async def fragile(
    way: Way, begin: Begin, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Whole, Neighbour]]:
    neighbour, server = Neighbour(), Loopback()
    await server.start(neighbour.app())
    folder = tmp_path_factory.mktemp("blueprints")
    try:
        async with begin(way, BLUEPRINTS=recipes.write(folder, _blueprint(server.url))) as system:
            yield system, neighbour
    finally:
        await server.stop()


@pytest.mark.parametrize("step", ["first", "app", "second", "third"])
async def test_rule_10_a_step_that_fails_for_good_leaves_nothing_and_can_be_tried_again_once_mended(
    fragile: tuple[Whole, Neighbour], step: str
) -> None:
    system, neighbour = fragile
    bought = await system.order()
    neighbour.broken.add((step, bought.purchase_id))
    system.shopper.pay(bought)
    if step == "third":  # a check that does not pass is asked again for its whole patience
        await system.wait_for(bought, "install.waiting")
        system.move(minutes=21)
    failed = (await system.wait_for(bought, "install.failed"))[-1]
    assert failed["data"]["step"] == step
    await _assert_nothing_left(system, bought)
    await system.own()  # rule 16: somebody else buys the same meanwhile
    neighbour.broken.clear()
    await system.tell(f"/api/installs/{bought.purchase_id}/retry")
    await system.activate(bought)
    await system.settled()
    await system.assert_exactly_once(bought)
    assert (await system.journey(bought)).count("install.failed") == 1


async def _assert_nothing_left(system: Whole, bought: Bought) -> None:
    await system.settled()
    wires = await system.journey(bought)
    assert wires.count("install.failed") == 1
    assert {"install.ready", "setup_link.issued", "orphan.found"}.isdisjoint(wires)
    assert not system.instances(bought)
    assert not system.data_of(bought).exists()
    assert (await system.ask("/api/orphans"))["items"] == []
    install = await system.ask(f"/api/installs/{bought.purchase_id}")
    assert install["status"] == "failed"
    assert {resource["status"] for resource in install["resources"]} <= {"gone"}
    assert (await system.ask(f"/api/purchases/{bought.purchase_id}"))["status"] == "paid"
    assert not system.mails(bought)
    told = [mail for mail in system.system.mailbox.to("operator@sandbox.example") if bought.purchase_id in mail.text]
    assert [mail.subject for mail in told] == ["Install failed: sample-app"], [mail.subject for mail in told]


async def test_an_install_that_cannot_follow_a_change_of_plan_keeps_the_old_one_and_the_money_comes_back(
    fragile: tuple[Whole, Neighbour],
) -> None:
    system, neighbour = fragile
    bought, _ = await system.own(planId="sample-starter", billingCycle="monthly")
    await system.wait_for(bought, "subscription.renewed")
    neighbour.broken.add(("third", bought.purchase_id))
    await _upgrade(system, bought)
    await system.wait_for(bought, "install.waiting")
    system.move(minutes=21)
    await system.wait_for(bought, "install.failed", "subscription.plan_refused", "purchase.refunded")
    neighbour.broken.clear()
    await system.wait_for(bought, "install.plan_changed")  # back to the old one
    await system.settled()
    assert (await system.shopper.status(bought))["status"] == "active"
    await _upgrade(system, bought)
    seen = await system.wait_for(bought, "subscription.plan_changed")
    assert seen[-1]["data"]["plan"] == "sample-pro"
    await system.settled()
    journey = await system.journey(bought)
    assert [journey.count(f"subscription.plan_{end}") for end in ("refused", "changed")] == [1, 1]
    assert len(system.instances(bought)) == 1


async def _upgrade(system: Whole, bought: Bought) -> None:
    path = f"/api/install/{bought.purchase_id}/plan"
    quote = (await system.client.post(f"{path}/quote", json={"planId": "sample-pro"}, headers=bought.headers)).json()
    body = {"quoteId": quote["quoteId"]}
    opened = (await system.client.post(path, json=body, headers=bought.headers)).json()["checkout"]
    assert opened["amount"] == quote["charge"]
    system.shopper.pay(replace(bought, checkout_id=opened["sessionId"]))
