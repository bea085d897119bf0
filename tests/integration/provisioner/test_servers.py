"""Servers, as operators make them known."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from keyturn.clock import MovableClock
from keyturn.events import OperatorActed, read
from provisioner.repository import servers
from provisioner.resources.port import Needs
from support.provisioning import Rig, WaitUntil, running, settings_for

pytestmark = pytest.mark.servers
MAIN: dict[str, Any] = {
    "address": "unix:///var/run/docker.sock",
    "memory": 2**30,
    "millicpus": 4000,
    "slots": 3,
    "reason": "first host",
}


async def said(rig: Rig, name: str = "main", **more: Any) -> Any:
    return await rig.ask("POST", f"/internal/servers/{name}", {**MAIN, **more})


async def placed(rig: Rig, install: Any, memory: int = 0, cpus: float = 0, **labels: str) -> str | None:
    async with rig.service.database.transaction("test") as tx:
        return await servers.place(tx, (install, "app"), "docker", Needs(memory, cpus), labels)


async def test_a_server_is_made_known_changed_and_forgotten_and_the_audit_log_hears_of_it(make_rig: Any) -> None:
    rig = await make_rig()
    assert (await said(rig)).status_code == 200
    changed = await rig.ask("POST", "/internal/servers/main", {"enabled": False, "slots": 9, "reason": "is emptied"})
    assert changed.json()["address"] == MAIN["address"]
    listed = (await rig.ask("GET", "/internal/servers")).json()
    (one,) = listed["items"]
    assert (one["name"], one["enabled"], one["slots"], one["used_slots"]) == ("main", False, 9, 0)
    assert (await rig.ask("POST", "/internal/servers/main/remove", {"reason": "gone"})).status_code == 200
    assert (await rig.ask("POST", "/internal/servers/main/remove", {"reason": "gone"})).status_code == 404
    assert (await rig.ask("GET", "/internal/servers")).json()["items"] == []
    bodies = [read(row.body) for row in await rig.rows("SELECT body FROM outbox ORDER BY id")]
    acted = [event for event in bodies if isinstance(event, OperatorActed)]
    assert [(one.action, one.target, one.reason) for one in acted] == [
        ("server.set", "server main", "first host"),
        ("server.set", "server main", "is emptied"),
        ("server.remove", "server main", "gone"),
    ]
    assert (acted[1].before["slots"], acted[1].after["slots"]) == (3, 9)


WRONG: list[dict[str, Any]] = [
    {"address": "tcp://10.0.0.1:2375"},
    {"address": "unix:///a b"},
    {"publish_on": "0.0.0.0"},
    {"publish_on": "8.8.8.8"},
    {"publish_on": "shop.example"},
    {"publish_on": "::1"},
    {"memory": 0},
    {"slots": 0},
    {"slots": None},
    {"target": "elsewhere"},
    {"labels": {"a b": "c"}},
    {"reason": ""},
]


async def test_a_server_that_cannot_be_right_is_refused(make_rig: Any) -> None:
    rig = await make_rig()
    for wrong in WRONG:
        assert (await said(rig, **wrong)).status_code == 422, wrong
    for name in ("Main", "a_b", "-a", "a" * 33, "a%20b", "..%2Fx"):
        assert (await said(rig, name)).status_code in {404, 422}, name
    assert (await rig.ask("GET", "/internal/servers")).json()["items"] == []


async def test_only_an_admin_says_which_servers_there_are(make_rig: Any) -> None:
    rig = await make_rig()
    assert (await rig.ask("POST", "/internal/servers/main", MAIN, role="operator")).status_code == 403
    assert (await rig.ask("GET", "/internal/servers", role="viewer")).status_code == 200


async def test_a_place_is_counted_resized_and_given_back_once(make_rig: Any) -> None:
    rig = await make_rig()
    await said(rig)
    install = await rig.bought(blueprint="open", limits={"size": "small"})
    half = 2**29
    for _ in range(2):
        assert await placed(rig, install, half, 1.5) == "main"
    assert await used(rig) == (1, half, 1500)
    assert await placed(rig, install, 2 * half, 0.5) == "main"
    assert await used(rig) == (1, 2 * half, 500)
    assert await placed(rig, install, 2 * half + 1, 0.5) is None
    assert await used(rig) == (1, 2 * half, 500)
    await rig.ask("POST", "/internal/servers/main", {"memory": half, "reason": "less is left"})
    assert await placed(rig, install, half, 0.5) == "main"  # less than before always fits
    assert (await rig.ask("POST", "/internal/servers/main/remove", {"reason": "x"})).json()["code"] == "server_in_use"
    for left in (True, False):
        async with rig.service.database.transaction("test") as tx:
            assert await servers.leave(tx, (install, "app")) is left
    assert await used(rig) == (0, 0, 0)


async def test_many_who_race_for_few_places_get_exactly_those(make_rig: Any) -> None:
    rig = await make_rig()
    await said(rig, "a")
    await said(rig, "b", slots=4, memory=2**40)
    await said(rig, "c", slots=50, enabled=False)
    installs = [await rig.bought(blueprint="open", limits={"size": "small"}) for _ in range(12)]
    found = await asyncio.gather(*(placed(rig, install, 1, 0.001) for install in installs))
    assert sorted(name or "" for name in found) == ["", "", "", "", "", "a", "a", "a", "b", "b", "b", "b"]


async def test_a_place_is_on_a_server_with_the_labels_that_are_asked_for(make_rig: Any) -> None:
    rig = await make_rig()
    await said(rig, "a")
    await said(rig, "b", labels={"region": "eu", "disk": "ssd"})
    first, second, third = [await rig.bought(blueprint="open", limits={"size": "small"}) for _ in range(3)]
    assert await placed(rig, first, region="eu") == "b"
    assert await placed(rig, second, region="us") is None
    assert await placed(rig, third) == "a"


async def test_a_sale_is_asked_whether_a_server_has_room(
    database_url: Any, tmp_path: Path, clock: MovableClock, wait_until: WaitUntil
) -> None:
    async with running(settings_for(await database_url("provisioner"), tmp_path), clock, wait_until) as rig:

        async def room(**limits: Any) -> bool:
            asked = {"blueprint": "docker-app", "limits": {"memory": "64M", "cpus": 1} | limits}
            return bool((await rig.ask("POST", "/internal/room", asked, role="public")).json()["room"])

        assert not await room()
        await said(rig)
        assert await room()
        assert not await room(memory="2G")
        assert not await room(cpus=5)
        assert await rig.rows("SELECT 1 FROM placements") == []
        await rig.ask("POST", "/internal/servers/main", {"enabled": False, "reason": "is emptied"})
        assert not await room()


async def used(rig: Rig) -> tuple[int, int, int]:
    row = await rig.one("SELECT used_slots, used_memory, used_millicpus FROM servers WHERE name = 'main'")
    return row.used_slots, row.used_memory, row.used_millicpus
