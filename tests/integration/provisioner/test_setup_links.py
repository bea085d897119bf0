"""Setup links: one success, nothing stored, and an answer to everything that can go wrong."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from keyturn.events import InstallActivated, SetupLinkIssued, SetupLinkUnsent
from provisioner.handlers import on_setup_link_unsent
from provisioner.resources.port import Transient
from support.fake_target import World
from support.provisioning import Rig

pytestmark = pytest.mark.servers

PASSWORD = "correct horse battery"


async def linked(rig: Rig) -> tuple[UUID, str]:
    install = await rig.bought(blueprint="shop", limits={"size": "small"})
    await rig.until_state(install, "setup_pending")
    return install, await rig.token(install)


async def lookup(rig: Rig, token: str) -> httpx.Response:
    return await rig.ask("POST", "/internal/setup/lookup", {"token": token}, role="public")


async def complete(rig: Rig, token: str, password: str = PASSWORD) -> httpx.Response:
    body = {"token": token, "password": password}
    return await rig.ask("POST", "/internal/setup/complete", body, role="public")


async def test_rule_13_looking_at_a_link_changes_nothing(make_rig: Any) -> None:
    rig = await make_rig()
    _, token = await linked(rig)
    before = (await rig.one("SELECT s::text AS line FROM setup_links s")).line
    for _ in range(3):
        assert (await lookup(rig, token)).json()["state"] == "open"
    assert (await rig.one("SELECT s::text AS line FROM setup_links s")).line == before


async def test_rule_13_of_many_posts_at_once_one_succeeds(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    install, token = await linked(rig)
    hold = asyncio.Event()
    world.always("setup", "run", hold=hold)
    posts = [asyncio.create_task(complete(rig, token)) for _ in range(6)]

    async def five_refused() -> bool:
        return sum(post.done() for post in posts) == 5

    await rig.wait_until(five_refused)
    hold.set()
    answers = sorted([(a.status_code, a.json().get("code")) for a in await asyncio.gather(*posts)], key=str)
    assert answers == [(200, None), *[(409, "setup_in_progress")] * 5]
    assert len(await rig.events(install, InstallActivated)) == 1
    assert (await complete(rig, token)).json()["code"] == "setup_link_used"


async def test_rule_13_the_token_is_stored_as_a_hash_and_the_password_nowhere(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    install, token = await linked(rig)
    await complete(rig, token)
    assert world.passwords[str(install)] == PASSWORD
    tables = await rig.rows("SELECT tablename AS line FROM pg_tables WHERE schemaname = 'public'")
    for table in tables:
        for row in await rig.rows(f'SELECT x::text AS line FROM "{table.line}" x'):
            assert token not in row.line
            assert PASSWORD not in row.line


async def test_a_refused_password_leaves_the_link_open_with_the_reason(make_rig: Any) -> None:
    rig = await make_rig()
    _, token = await linked(rig)
    refused = await complete(rig, token, "short")
    assert (refused.status_code, refused.json()["code"]) == (422, "password_refused")
    seen = (await lookup(rig, token)).json()
    assert (seen["state"], seen["detail"]) == ("open", "Use at least 8 characters.")
    assert (await complete(rig, token)).status_code == 200


async def test_an_install_that_does_not_answer_leaves_the_link_open(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    _, token = await linked(rig)
    world.next("setup", "run", after=Transient("no answer"))
    answer = await complete(rig, token)
    assert (answer.status_code, answer.json()["code"]) == (503, "instance_unreachable")
    assert (await complete(rig, token)).status_code == 200


async def test_a_claim_whose_process_died_runs_out(make_rig: Any) -> None:
    rig = await make_rig()
    _, token = await linked(rig)
    until = rig.clock.now() + timedelta(seconds=60)
    await rig.rows("UPDATE setup_links SET state = 'completing', attempt = 1, claimed_until = $1", until)
    assert (await complete(rig, token)).json()["code"] == "setup_in_progress"
    rig.clock.move(timedelta(minutes=2))
    assert (await complete(rig, token)).status_code == 200


async def test_a_link_expires_after_a_day_and_a_new_one_replaces_the_old(make_rig: Any) -> None:
    rig = await make_rig()
    install, old = await linked(rig)
    rig.clock.move(timedelta(hours=25))
    assert (await lookup(rig, old)).json()["state"] == "expired"
    assert (await complete(rig, old)).json()["code"] == "setup_link_expired"
    again = await rig.ask("POST", f"/internal/installs/{install}/reissue", {}, role="customer")
    assert again.json()["number"] == 2
    new = await rig.token(install, 2)
    assert (await complete(rig, old)).json()["code"] == "setup_link_replaced"
    assert (await complete(rig, new)).status_code == 200
    assert (await rig.ask("POST", f"/internal/installs/{install}/reissue", {})).json()["code"] == "no_setup_needed"


async def test_a_customer_waits_a_minute_for_another_link_and_an_operator_does_not(make_rig: Any) -> None:
    rig = await make_rig()
    install, old = await linked(rig)
    path = f"/internal/installs/{install}/reissue"
    rig.clock.move(timedelta(seconds=20))
    early = await rig.ask("POST", path, {}, role="customer")
    assert (early.status_code, early.json()["code"]) == (429, "setup_link_just_sent")
    assert 0 < int(early.headers["retry-after"]) <= 40
    assert (await lookup(rig, old)).json()["state"] == "open"
    assert (await rig.ask("POST", path, {}, role="operator")).json()["number"] == 2
    assert (await rig.ask("POST", path, {}, role="customer")).status_code == 429
    rig.clock.move(timedelta(minutes=1))
    both = await asyncio.gather(*(rig.ask("POST", path, {}, role="customer") for _ in range(2)))
    assert sorted(answer.status_code for answer in both) == [200, 429]
    assert len(await rig.events(install, SetupLinkIssued)) == 3


async def test_an_unknown_token_is_told_like_any_other(make_rig: Any) -> None:
    rig = await make_rig()
    for asked in (lookup, complete):
        answer = await asked(rig, "no-such-token")
        assert (answer.status_code, answer.json()["code"]) == (404, "setup_link_unknown")


async def test_a_link_that_was_never_sent_is_issued_again_once(make_rig: Any) -> None:
    rig = await make_rig()
    install, old = await linked(rig)
    issued = await rig.until_told(install, SetupLinkIssued)
    for _ in range(2):
        event = SetupLinkUnsent(
            subject=str(install), time=rig.clock.now(), link_id=issued.link_id, reason="link_expired"
        )
        async with rig.service.database.transaction("test", cause=event) as tx:
            await on_setup_link_unsent(event, tx)
        await rig.until_told(install, SetupLinkIssued, 2)
        await rig.quiet(install)
    assert len(await rig.events(install, SetupLinkIssued)) == 2
    assert (await lookup(rig, old)).json()["state"] == "replaced"


async def test_a_password_that_takes_minutes_is_asked_about_until_it_is_set(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    install, token = await linked(rig)
    world.applying = True
    assert (await complete(rig, token)).json()["state"] == "completing"
    assert (await lookup(rig, token)).json()["state"] == "completing"
    world.applying = False
    rig.clock.move(timedelta(minutes=1))
    await rig.until_state(install, "active")
    assert (await lookup(rig, token)).json()["state"] == "used"


async def test_a_password_that_is_never_set_leaves_the_link_open_again(make_rig: Any, world: World) -> None:
    rig = await make_rig()
    _, token = await linked(rig)
    world.applying = True
    await complete(rig, token)

    async def open_again() -> bool:
        rig.clock.move(timedelta(minutes=10))
        return bool((await lookup(rig, token)).json()["state"] == "open")

    await rig.wait_until(open_again, 30)
    assert "choose it again" in (await lookup(rig, token)).json()["detail"]
    world.applying = False
    assert (await complete(rig, token)).json()["state"] == "used"


async def test_rule_15_a_suspended_install_is_not_taken_over(make_rig: Any) -> None:
    rig = await make_rig()
    install, token = await linked(rig)
    await rig.ask("POST", f"/internal/installs/{install}/suspend", {"reason": "check"})
    await rig.until_state(install, "suspended")
    assert (await complete(rig, token)).json()["code"] == "install_not_available"


async def test_names_that_two_orders_want_go_to_one_of_them(make_rig: Any) -> None:
    rig = await make_rig()
    first, second = uuid4(), uuid4()
    until = (rig.clock.now() + timedelta(minutes=30)).isoformat()
    bodies = [{"owner": str(o), "names": {"subdomain": "Janes-Shop"}, "until": until} for o in (first, second)]
    answers = await asyncio.gather(*(rig.ask("POST", "/internal/names/reserve", body) for body in bodies))
    assert sorted(a.status_code for a in answers) == [200, 409]
    winner = (first, second)[[a.status_code for a in answers].index(200)]
    loser = second if winner == first else first
    for owner in (winner, loser):
        order = {"subdomain": "janes-shop"}
        await rig.entitle(owner, blueprint="open", limits={"size": "small"}, parameters=order)
    await rig.until_state(winner, "active")

    async def parked() -> bool:
        rows = await rig.rows("SELECT reason FROM jobs WHERE install_id = $1", loser)
        return [row.reason for row in rows] == ["needs_customer"]

    await rig.wait_until(parked)
    check = (await rig.ask("POST", "/internal/names/check", {"name": "JANES-SHOP"})).json()
    assert (check["status"], check["suggestion"]) == ("taken", "janes-shop-2")
    chosen = {"subdomain": "janes-other-shop"}
    await rig.entitle(loser, 2, blueprint="open", limits={"size": "small"}, parameters=chosen)
    await rig.until_state(loser, "active")


async def test_a_reservation_lapses_and_a_deleted_installs_name_is_free_again(make_rig: Any) -> None:
    rig = await make_rig()
    until = (rig.clock.now() + timedelta(minutes=30)).isoformat()
    body = {"owner": str(uuid4()), "names": {"subdomain": "lapsing"}, "until": until}
    await rig.ask("POST", "/internal/names/reserve", body)
    rig.clock.move(timedelta(hours=1))
    order = {"subdomain": "lapsing"}
    install = await rig.bought(blueprint="open", limits={"size": "small"}, parameters=order)
    await rig.until_state(install, "active")
    await rig.ask("POST", f"/internal/installs/{install}/delete", {"reason": "asked", "now": True})
    await rig.until_state(install, "deleted")
    assert (await rig.ask("POST", "/internal/names/check", {"name": "lapsing"})).json()["status"] == "free"


async def test_an_order_that_is_sent_again_keeps_its_names_as_long_as_before(make_rig: Any) -> None:
    """It asks for a few minutes first, and may get no further: its checkout can still be paid for hours."""
    rig = await make_rig()
    body = {"owner": str(uuid4()), "names": {"subdomain": "janes-shop"}}
    for kept in (timedelta(hours=23), timedelta(minutes=15)):
        await rig.ask("POST", "/internal/names/reserve", body | {"until": (rig.clock.now() + kept).isoformat()})
    rig.clock.move(timedelta(hours=22))
    other = body | {"owner": str(uuid4()), "until": (rig.clock.now() + timedelta(hours=1)).isoformat()}
    assert (await rig.ask("POST", "/internal/names/reserve", other)).json()["code"] == "name_taken"
    rig.clock.move(timedelta(hours=2))
    assert (await rig.ask("POST", "/internal/names/reserve", other)).status_code == 200


async def test_a_refused_order_frees_what_it_reserved_and_nothing_that_is_claimed(make_rig: Any) -> None:
    rig = await make_rig()

    async def status() -> str:
        return str((await rig.ask("POST", "/internal/names/check", {"name": "janes-shop"})).json()["status"])

    owner = uuid4()
    until = (rig.clock.now() + timedelta(minutes=30)).isoformat()
    await rig.ask(
        "POST", "/internal/names/reserve", {"owner": str(owner), "names": {"subdomain": "janes-shop"}, "until": until}
    )
    assert await status() == "taken"
    await rig.ask("POST", "/internal/names/release", {"owner": str(owner)})
    assert await status() == "free"
    await rig.entitle(owner, blueprint="open", limits={"size": "small"}, parameters={"subdomain": "janes-shop"})
    await rig.until_state(owner, "active")
    await rig.ask("POST", "/internal/names/release", {"owner": str(owner)})
    assert await status() == "taken"


async def test_a_neighbours_address_is_nobodys_own_domain(make_rig: Any) -> None:
    rig = await make_rig()
    until = (rig.clock.now() + timedelta(minutes=30)).isoformat()
    body = {
        "owner": str(uuid4()),
        "names": {"domain": f"victim.{rig.service.deps.settings.base_domain}"},
        "until": until,
    }
    refused = await rig.ask("POST", "/internal/names/reserve", body)
    assert (refused.status_code, refused.json()["code"]) == (422, "name_not_allowed")
    order = {"domain": f"victim.{rig.service.deps.settings.base_domain}"}
    install = await rig.bought(blueprint="open", limits={"size": "small"}, parameters=order)

    async def parked() -> bool:
        rows = await rig.rows("SELECT reason FROM jobs WHERE install_id = $1", install)
        return [row.reason for row in rows] == ["needs_customer"]

    await rig.wait_until(parked)
