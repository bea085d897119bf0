"""`kill -9` of every service at the commit points of every flow (DESIGN §6, 2, 3, 8): docs/commit-points.md.

Of each flow and service a few, chosen by the run's seed; `make kills` takes them all, and writes the page.
"""

import os
import random
from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest

from keyturn.failpoints import seen_by_processes
from support import commit_points, programs, recipes
from support.flows import FLOWS, Customers, Flow, Owner
from support.killing import kill_at, names_of
from support.whole import Begin, Whole

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("kills"), pytest.mark.timeout(900)]

KILLS = os.environ.get("KILLS", "1")  # so many of each flow and service, or `all`
TOGETHER = [(flow,) for flow in FLOWS.values()] if KILLS == "all" else [tuple(FLOWS.values())]


@pytest.fixture
def blueprints(tmp_path: Path) -> str:
    return recipes.write(tmp_path / "blueprints", recipes.tiny())


if KILLS == "all":

    async def test_the_page_of_commit_points_is_written(begin: Begin, blueprints: str) -> None:
        """Each flow is gone through once, to see what it comes by."""
        async with begin("memory", BLUEPRINTS=blueprints) as system:
            commit_points.write(await names_of(system))


@pytest.mark.parametrize("flows", TOGETHER, ids=lambda flows: "-".join(flow.name for flow in flows))
async def test_rules_2_3_and_8_killed_at_every_point_everything_paid_ends_up_as_it_should_once(
    begin: Begin, blueprints: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], flows: tuple[Flow, ...]
) -> None:
    async with begin("rabbitmq", BLUEPRINTS=blueprints) as system:
        customers, seen = Customers(system), tmp_path / "seen"
        for flow in flows:
            names = _chosen(commit_points.of_flow(flow.name))
            killed = await kill_at(system, customers, flow, names, seen)
            with capsys.disabled():
                print(f"\n{flow.name}: killed at {len(killed)} of {len(names)} points")  # noqa: T201
            assert not set(names) - killed
        await system.system.ready()
        await system.settled()
        assert commit_points.unlisted(seen_by_processes(seen)) == []
        await _assert_everything_once(system, customers.every)


def _chosen(names: list[str]) -> list[str]:
    """All, or so many of each service. What `random` gives follows from the run's seed."""
    if KILLS == "all":
        return names
    chosen: list[str] = []
    for service in dict.fromkeys(name.partition(".")[0] for name in names):
        mine = [name for name in names if name.startswith(f"{service}.")]
        chosen += random.sample(mine, min(len(mine), int(KILLS)))
    return chosen


async def _assert_everything_once(system: Whole, every: list[Owner]) -> None:
    assert await system.traces.dead() == []
    books = system.system.stripe.books() + system.system.razorpay.books()
    assert Counter(entry.reference for entry in books) == Counter(one.bought.purchase_id for one in every)
    assert await system.traces.one("billing", "SELECT count(*) FROM purchases") == len(every)
    assert (await system.ask("/api/orphans"))["items"] == []
    running = Counter(programs.below(system.system.folder / "installs").values())
    assert running == Counter(f"{one.bought.purchase_id}/app" for one in every if not one.told["purchase.refunded"])
    refunded = {entry.reference: entry.refunded == entry.amount for entry in books}
    for one in every:
        assert refunded[one.bought.purchase_id] == bool(one.told["purchase.refunded"])
        await _assert_once(system, one)


async def _assert_once(system: Whole, customer: Owner) -> None:
    bought, wires = customer.bought, Counter(await system.journey(customer.bought))
    id_ = UUID(bought.purchase_id)
    links = await system.traces.one("provisioner", "SELECT count(*) FROM setup_links WHERE install_id = $1", id_)
    told = customer.told | {"setup_link.issued": links}  # an operator whose answer was lost has asked once more
    mails = wires["message.sent"]
    assert {wire: wires[wire] for wire in told} == told | {"message.sent": mails}
    # One mail for each fact. Between the mail server's answer and our commit nobody can know whether it was taken: then
    # it comes a second time under its one Message-ID, and mail stores show it once; or not, where a newer link has taken
    # its link's place.
    assert mails <= len(system.system.mailbox.to(bought.email)) <= mails + links - 1
    for table in ("payments", "entitlements"):
        sql = f"SELECT count(*) FROM {table} WHERE purchase_id = $1"
        assert await system.traces.one("billing", sql, id_) == 1, table
    if customer.owns:
        status = await system.shopper.status(bought)
        assert status["status"] == "active"
        assert await system.shopper.logs_in(status["url"], bought.email, system.password)
