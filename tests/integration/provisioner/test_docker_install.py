"""The real engine of Docker, real PostgreSQL: the life of an install in a container of its own."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from keyturn.clock import MovableClock
from keyturn.events import InstallDeleted, InstallPlanChanged, InstallWaiting
from support.docker import Engine
from support.docker_rig import ORDER, PASSWORD, add_server, docker_rig, private_engine
from support.provisioning import Rig, WaitUntil, running

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("docker")]


@pytest.fixture
async def rig(
    engine: Engine, database_url: Any, tmp_path: Path, clock: MovableClock, wait_until: WaitUntil
) -> AsyncIterator[Rig]:
    url = await database_url("provisioner")
    async with docker_rig(engine, url, tmp_path, clock, wait_until) as found:
        await add_server(found, engine)
        yield found


async def ready(rig: Rig, **said: Any) -> tuple[UUID, str]:
    install = await rig.bought(**{**ORDER, **said})
    await rig.until_state(install, "setup_pending", timeout=90)
    return install, str((await rig.one("SELECT url FROM installs WHERE id = $1", install)).url)


async def get(url: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(url)


def only(engine: Engine, install: UUID) -> dict[str, Any]:
    (container,) = engine.of(install)["containers"]
    return engine.inspect(container["Id"])


async def test_a_purchase_becomes_a_container_that_its_customer_takes_over(rig: Rig, engine: Engine) -> None:
    install, url = await ready(rig)
    assert (await get(f"{url}cgi-bin/site")).text == "Jane's shop"
    token = await rig.token(install)
    refused = await rig.ask("POST", "/internal/setup/complete", {"token": token, "password": "short"})
    assert (refused.status_code, refused.json()["detail"]) == (422, "Use at least 10 characters.")
    answer = await rig.ask("POST", "/internal/setup/complete", {"token": token, "password": PASSWORD})
    assert (answer.status_code, answer.json()["state"]) == (200, "used")
    async with httpx.AsyncClient(base_url=url) as client:
        assert (await client.post("/cgi-bin/login", content=PASSWORD)).status_code == 200
        assert (await client.post("/cgi-bin/login", content="another")).status_code == 401


async def test_a_container_is_hardened_and_says_whose_it_is(rig: Rig, engine: Engine) -> None:
    install, _ = await ready(rig)
    found = only(engine, install)
    host, labels = found["HostConfig"], found["Config"]["Labels"]
    assert found["Name"] == f"/kt-{install.hex[-16:]}-app"
    assert (labels["keyturn.install"], labels["keyturn.mark"]) == (str(install), f"{install}/app")
    assert len(labels["keyturn.spec"]) == 64
    assert found["Config"]["User"] == "65534:65534"
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"], host["PidsLimit"]) == (2**25, 2**25, 5 * 10**8, 256)
    assert (host["CapDrop"], host["CapAdd"], host["Privileged"]) == (["ALL"], [], False)
    assert (host["SecurityOpt"], host["ReadonlyRootfs"]) == (["no-new-privileges:true"], True)
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["PortBindings"]["8080/tcp"][0]["HostIp"] == "127.0.0.1"
    assert engine.counts(install) == (1, 1, 1)


async def test_rule_14_deleting_removes_container_network_and_volume_with_proof(rig: Rig, engine: Engine) -> None:
    install, _ = await ready(rig)
    await rig.entitle(install, 2, wanted="ended", delete_after=rig.clock.now(), **ORDER)
    await rig.until_state(install, "deleted", timeout=90)
    proof = {gone.resource: gone.outcome for gone in (await rig.until_told(install, InstallDeleted)).proof}
    assert proof == {
        "app": "deleted", "data": "deleted", "network": "deleted", "place": "deleted", "image": "not_found",
    }  # fmt: skip
    assert engine.counts(install) == (0, 0, 0)
    assert await rig.rows("SELECT 1 FROM allocations UNION ALL SELECT 1 FROM placements") == []
    used = await rig.one("SELECT used_slots, used_memory, used_millicpus FROM servers")
    assert tuple(used.values()) == (0, 0, 0)


async def test_a_plan_change_gives_more_without_a_restart(rig: Rig, engine: Engine) -> None:
    install, _ = await ready(rig)
    before = only(engine, install)
    await rig.entitle(install, 2, **{**ORDER, "limits": {"memory": "64M", "cpus": 1}, "plan": "bigger"})
    await rig.until_told(install, InstallPlanChanged)
    after = only(engine, install)
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
    assert (after["HostConfig"]["Memory"], after["HostConfig"]["NanoCpus"]) == (64 * 1024**2, 10**9)
    used = await rig.one("SELECT used_slots, used_memory, used_millicpus FROM servers")
    assert tuple(used.values()) == (1, 64 * 1024**2, 1000)


async def test_rule_16_two_who_race_for_the_last_place_get_it_one_after_the_other(
    rig: Rig, engine: Engine, tmp_path: Path, clock: MovableClock, wait_until: WaitUntil
) -> None:
    await rig.rows("UPDATE servers SET slots = 1")
    settings = rig.service.deps.settings
    async with running(settings, clock, wait_until):  # another replica
        both = [await rig.bought(**ORDER), await rig.bought(**ORDER)]

        async def one_is_ready() -> bool:
            return len(await rig.rows("SELECT 1 FROM installs WHERE state = 'setup_pending'")) == 1

        await wait_until(one_is_ready, 90)
        states = {install: await rig.state(install) for install in both}
        first, second = sorted(both, key=lambda install: states[install] != "setup_pending")
        waiting = await rig.until_told(second, InstallWaiting)
        assert (waiting.reason, waiting.detail) == ("capacity", "no server of docker has room")
        shown = (await rig.ask("GET", f"/internal/installs/{second}")).json()
        assert [(step["name"], step["reason"]) for step in shown["waits"]] == [("place", "capacity")]
        await rig.entitle(first, 2, wanted="ended", delete_after=clock.now(), **ORDER)
        await rig.until_state(first, "deleted", timeout=90)
        clock.move(timedelta(seconds=31))
        await rig.until_state(second, "setup_pending", timeout=90)
    assert (engine.counts(first), engine.counts(second)) == ((0, 0, 0), (1, 1, 1))


async def test_each_server_gets_what_it_has_room_for_and_the_least_loaded_comes_first(rig: Rig, engine: Engine) -> None:
    await add_server(rig, engine, "small", memory=64 * 1024**2)  # of the same engine
    await rig.rows("UPDATE servers SET memory = $1 WHERE name = 'main'", 160 * 1024**2)
    found = []
    for memory in ("32M", "32M", "48M", "32M", "48M"):
        install, _ = await ready(rig, limits={"memory": memory, "cpus": 0.1})
        found.append((await rig.one("SELECT server FROM placements WHERE install_id = $1", install)).server)
    assert found == ["main", "small", "main", "main", "main"]
    targets = {row.target for row in await rig.rows("SELECT DISTINCT target FROM resources WHERE kind LIKE 'docker.%'")}
    assert targets == {"docker:main", "docker:small"}


async def test_an_engine_that_goes_away_in_the_middle_delays_and_revives_nothing(
    database_url: Any, tmp_path: Path, clock: MovableClock, wait_until: WaitUntil
) -> None:
    own = await asyncio.to_thread(private_engine)
    assert own.private
    try:
        url = await database_url("provisioner")
        async with docker_rig(own, url, tmp_path, clock, wait_until) as rig:
            await add_server(rig, own)
            up, down = (await ready(rig))[0], (await ready(rig))[0]
            await rig.entitle(down, 2, wanted="suspended", reasons=["nonpayment"], **ORDER)
            await rig.until_state(down, "suspended")
            await asyncio.to_thread(own.private.stop)
            late = await rig.bought(**ORDER)
            waiting = await rig.until_told(late, InstallWaiting)
            assert (waiting.reason, waiting.detail) == ("retry", "the engine of main does not answer: ConnectError")
            await asyncio.to_thread(own.private.start)
            await rig.until_state(late, "setup_pending", timeout=90)
            states = [only(own, install)["State"]["Status"] for install in (up, down, late)]
            assert states == ["running", "exited", "running"]
    finally:
        await asyncio.to_thread(own.private.close)
