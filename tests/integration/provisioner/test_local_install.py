"""The real engine, the real sample application as a real program, real PostgreSQL."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from keyturn.clock import MovableClock
from keyturn.events import InstallDeleted, InstallPlanChanged
from provisioner.resources import processes
from provisioner.resources.processes import Process
from sandbox.ports import free_port
from support.provisioning import Rig, WaitUntil, running, settings_for

pytestmark = pytest.mark.servers

PASSWORD = "a long enough password"


@pytest.fixture
async def rig(database_url: Any, tmp_path: Path, clock: MovableClock, wait_until: WaitUntil) -> AsyncIterator[Rig]:
    settings = settings_for(await database_url("provisioner"), tmp_path)
    async with running(settings, clock, wait_until) as found:
        yield found
    # Programs outlive the service on purpose; the tests' must not outlive the tests.
    await processes.stop_under(settings.local_data)


async def test_a_purchase_becomes_an_install_that_its_customer_takes_over(rig: Rig) -> None:
    install = await rig.bought()
    await rig.until_state(install, "setup_pending")
    token = await rig.token(install)
    seen = (await rig.ask("POST", "/internal/setup/lookup", {"token": token})).json()
    assert (seen["state"], seen["email"]) == ("open", "jane@example.com")
    answer = await rig.ask("POST", "/internal/setup/complete", {"token": token, "password": PASSWORD})
    assert (answer.status_code, answer.json()["state"]) == (200, "used")
    assert await rig.state(install) == "active"
    async with httpx.AsyncClient(base_url=answer.json()["url"]) as client:
        login = await client.post("/login", json={"email": "jane@example.com", "password": PASSWORD})
    assert login.status_code == 200
    assert await rig.told(install) == [
        "install.requested",
        "install.ready",
        "setup_link.issued",
        "install.activated",
    ]


async def test_there_is_room_as_long_as_there_are_ports(
    database_url: Any, tmp_path: Path, clock: MovableClock, wait_until: WaitUntil
) -> None:
    port = free_port()
    settings = settings_for(await database_url("provisioner"), tmp_path, local_ports=f"{port}-{port}")
    asked = {"blueprint": "sandbox-app", "limits": {"memory": "256M", "cpus": 0.5}}

    async def room(of: Rig) -> Any:
        return (await of.ask("POST", "/internal/room", asked, role="public")).json()["room"]

    async with running(settings, clock, wait_until) as small:
        assert await room(small)
        install = await small.bought()
        await small.until_state(install, "setup_pending")
        assert not await room(small)
        await small.entitle(install, 2, wanted="ended", delete_after=clock.now())
        await small.until_state(install, "deleted")
        assert await room(small)
    await processes.stop_under(settings.local_data)


async def taken_over(rig: Rig) -> tuple[UUID, str]:
    install = await rig.bought()
    await rig.until_state(install, "setup_pending")
    token = await rig.token(install)
    answer = await rig.ask("POST", "/internal/setup/complete", {"token": token, "password": PASSWORD})
    return install, str(answer.json()["url"])


async def login(url: str) -> int:
    async with httpx.AsyncClient(base_url=url) as client:
        return (await client.post("/login", json={"email": "jane@example.com", "password": PASSWORD})).status_code


def program(install: UUID) -> Process | None:
    found = processes.find(f"{install}/app")
    assert len(found) <= 1, "an install has one program"
    return found[0] if found else None


async def test_rule_15_a_suspended_program_is_stopped_and_resuming_brings_its_data_back(rig: Rig) -> None:
    install, url = await taken_over(rig)
    await rig.entitle(install, 2, wanted="suspended", reasons=["nonpayment"])
    await rig.until_state(install, "suspended")
    assert program(install) is None
    with pytest.raises(httpx.ConnectError):
        await login(url)
    await rig.entitle(install, 3)
    await rig.until_state(install, "active")
    assert await login(url) == 200


async def test_a_plan_change_starts_the_program_with_its_new_parameters_and_old_data(rig: Rig) -> None:
    install, url = await taken_over(rig)
    before = program(install)
    await rig.entitle(install, 2, plan="sample-pro", parameters={"store_name": "Jane & sons"})
    await rig.until_told(install, InstallPlanChanged)
    assert program(install) != before
    async with httpx.AsyncClient(base_url=url) as client:
        assert "Jane &amp; sons" in (await client.get("/")).text
    assert await login(url) == 200


async def test_rule_14_deleting_stops_the_program_and_removes_its_folder_with_proof(rig: Rig) -> None:
    install, _ = await taken_over(rig)
    folder = rig.service.deps.settings.local_data / str(install)
    assert folder.exists()
    await rig.entitle(install, 2, wanted="ended", delete_after=rig.clock.now())
    await rig.until_state(install, "deleted")
    proof = (await rig.until_told(install, InstallDeleted)).proof
    assert {(gone.resource, gone.outcome) for gone in proof} == {("app", "deleted"), ("health", "not_found")}
    assert program(install) is None
    assert not folder.exists()
    assert not await rig.rows("SELECT 1 FROM allocations")


async def test_a_program_that_died_is_started_again_with_its_data(rig: Rig) -> None:
    install, url = await taken_over(rig)
    running = program(install)
    assert running is not None
    os.killpg(running.pid, signal.SIGKILL)
    await rig.rows("UPDATE work SET due = $1 WHERE kind = 'watch'", rig.clock.now())
    rig.service.database.wakeups.wake("work")

    async def back() -> bool:
        again = program(install)
        return again is not None and again != running

    await rig.wait_until(back, 20)
    await rig.quiet(install)
    assert await login(url) == 200
    assert (await rig.told(install)).count("install.ready") == 1


async def test_rule_8_a_program_that_was_started_and_not_recorded_is_adopted(rig: Rig) -> None:
    install = await rig.bought()
    await rig.until_state(install, "setup_pending")
    started = program(install)
    record = rig.service.deps.settings.local_data / str(install) / "app" / "process.json"
    record.unlink()  # as if the provisioner had died between the start and the record
    await rig.rows("UPDATE installs SET repair = true, revision = revision + 1")
    await rig.rows("UPDATE resources SET state = 'intended' WHERE name = 'app'")
    answer = await rig.ask("POST", f"/internal/installs/{install}/suspend", {"reason": "look"})
    assert answer.status_code == 200
    await rig.until_state(install, "suspended")
    assert program(install) is None, f"{started} was lost"


async def test_a_program_gets_no_environment_but_its_own_and_outlives_the_provisioner(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SURELY_OURS", "secret")
    install, url = await taken_over(rig)
    running = program(install)
    assert running is not None
    environment = Path(f"/proc/{running.pid}/environ").read_text()  # noqa: ASYNC240 - in memory
    names = {entry.partition("=")[0] for entry in environment.split("\0") if entry}
    assert names == {
        "PATH", "HOME", "LANG", "PORT", "DATA_DIR", "SITE_NAME", "ADMIN_EMAIL", "ADMIN_TOKEN", "KEYTURN_RESOURCE",
        "KEYTURN_MADE_FROM",
    }  # fmt: skip
    await rig.service.stop()
    assert await login(url) == 200
    await rig.service.start()
