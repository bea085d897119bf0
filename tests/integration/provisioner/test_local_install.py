"""The real engine, the real sample application as a real program, real PostgreSQL."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from keyturn.clock import MovableClock
from support.provisioning import Rig, WaitUntil, running, settings_for

pytestmark = pytest.mark.servers

PASSWORD = "a long enough password"


@pytest.fixture
async def rig(database_url, tmp_path: Path, clock: MovableClock, wait_until: WaitUntil) -> AsyncIterator[Rig]:
    settings = settings_for(await database_url("provisioner"), tmp_path)
    async with running(settings, clock, wait_until) as found:
        yield found
        await _remove_everything(found)


async def _remove_everything(rig: Rig) -> None:
    """Programs outlive the service on purpose; the tests' must not outlive the tests."""
    for row in await rig.rows("SELECT id FROM installs WHERE state <> 'deleted'"):
        await rig.ask("POST", f"/internal/installs/{row.id}/delete", {"reason": "test ends"})
        await rig.until_state(row.id, "deleted")


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
