"""The kinds of Docker against a real engine, each called by itself."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from keyturn.http import new_client
from provisioner.resources.docker.container import DockerContainer
from provisioner.resources.docker.exec import DockerExec, DockerSetup, ExecParameters
from provisioner.resources.docker.hosts import Docker
from provisioner.resources.docker.images import DockerImage, ImageParameters
from provisioner.resources.docker.network import DockerNetwork, NetworkParameters
from provisioner.resources.docker.spec import ContainerParameters
from provisioner.resources.docker.volume import DockerVolume, VolumeParameters
from provisioner.resources.port import (
    Given,
    NeedsOperator,
    NotReady,
    Outputs,
    Permanent,
    Refused,
    Server,
    Transient,
    UnknownResult,
)
from support.docker import IMAGE, Engine
from support.memory_notes import MemoryNotes
from support.provisioning import WaitUntil

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("docker")]
SMALL: dict[str, Any] = {"image": IMAGE, "server": "main", "limits": {"memory": "32M", "cpus": 0.5}}


@dataclass
class One:
    """The server `main`, as drivers ask for it."""

    address: str

    async def find(self, target: str, name: str) -> Server:
        if name != "main":
            raise NeedsOperator(f"there is no server {name!r} of {target}")
        return Server("main", target, self.address, "127.0.0.1")


@dataclass
class Bench:
    """One install, driver by driver."""

    engine: Engine
    docker: Docker
    install: UUID
    notes: MemoryNotes

    def given(self, parameters: Any, name: str = "app") -> Given[Any]:
        return Given(self.install, name, parameters)

    def container(self, **said: Any) -> DockerContainer:
        return DockerContainer(self.given(ContainerParameters.model_validate(SMALL | said)), self.docker)

    async def up(self, **said: Any) -> Outputs:
        return await self.container(**said).ensure(self.notes)

    def command(self, argv: list[str], **said: Any) -> Given[Any]:
        container = f"main/kt-{self.install.hex[-16:]}-app"
        return self.given(ExecParameters.model_validate({"container": container, "argv": argv} | said), "exec")

    @property
    def name(self) -> str:
        return f"kt-{self.install.hex[-16:]}-app"

    def state(self, name: str = "") -> dict[str, Any]:
        return dict(self.engine.inspect(name or self.name)["State"])

    def id(self) -> str:
        return str(self.engine.inspect(self.name)["Id"])


@pytest.fixture
async def bench(engine: Engine) -> AsyncIterator[Bench]:
    client = new_client()
    docker = Docker(One(engine.address), _ports(), client)
    found = Bench(engine, docker, uuid4(), MemoryNotes())
    yield found
    engine.remove(found.install)
    await docker.close()
    await client.aclose()


def _ports() -> range:
    """Three that are free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        first = int(probe.getsockname()[1])
    return range(first % 10_000 + 16_000, first % 10_000 + 16_003)


async def settled(container: DockerContainer, notes: MemoryNotes) -> None:
    """As the engine of ours asks: again and again, as long as it is not ready."""
    async with asyncio.timeout(20):
        while True:
            with suppress(NotReady):
                await container.ensure(notes)
                return
            await asyncio.sleep(0.1)


async def test_a_container_alone_has_a_place_and_a_network_of_its_own(bench: Bench) -> None:
    container = bench.container(server=None, port=8080, health={"path": "/health/"})
    await container.choose(bench.notes)
    given = await container.ensure(bench.notes)
    port = bench.docker.ports[0]
    assert given["address"] == f"127.0.0.1:{port}"
    assert (given["id"], given["url"]) == (f"main/{bench.name}", f"http://127.0.0.1:{port}")
    assert bench.engine.counts(bench.install) == (1, 1, 0)
    assert (await container.probe(bench.notes)).ok
    assert await container.destroy(bench.notes) == "deleted"
    assert bench.engine.counts(bench.install) == (0, 0, 0)
    assert bench.notes.get("server") is None
    assert await container.destroy(bench.notes) == "not_found"


async def test_inside_it_is_nobody_without_rights(bench: Bench) -> None:
    await bench.up()
    await DockerExec(bench.command(["/bin/busybox", "sh", "-c", INSIDE]), bench.docker).ensure(MemoryNotes())


INSIDE = """
set -e
[ "$(busybox id -u)" = 65534 ]
busybox grep -q 'CapEff:.0000000000000000' /proc/self/status
busybox grep -q 'NoNewPrivs:.1' /proc/self/status
! busybox touch /www/x
busybox touch /tmp/x
""".replace("busybox", "/bin/busybox")


async def test_new_limits_need_no_restart(bench: Bench) -> None:
    await bench.up()
    before, began = bench.id(), bench.state()["StartedAt"]
    await bench.up(limits={"memory": "64M", "cpus": 1, "pids": 99}, restart="no")
    host = bench.engine.inspect(bench.name)["HostConfig"]
    assert (bench.id(), bench.state()["StartedAt"]) == (before, began)
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (64 * 1024**2, 10**9, 99)
    assert host["RestartPolicy"]["Name"] == "no"


async def test_a_new_image_or_variable_is_a_new_container_with_the_old_data(bench: Bench) -> None:
    volume = DockerVolume(bench.given(VolumeParameters(server="main"), "data"), bench.docker)
    data = {"volumes": {"/data": (await volume.ensure(bench.notes))["name"]}}
    await bench.up(**data)
    write = ["/bin/busybox", "sh", "-c", "echo kept > /data/x"]
    await DockerExec(bench.command(write), bench.docker).ensure(MemoryNotes())
    before = bench.id()
    await bench.up(**data, env={"SITE_NAME": "new"})
    assert bench.id() != before
    read = ["/bin/busybox", "grep", "kept", "/data/x"]
    await DockerExec(bench.command(read), bench.docker).ensure(MemoryNotes())
    assert bench.engine.counts(bench.install) == (1, 1, 1)


@pytest.mark.parametrize(
    ("mode", "says"), [("crash", "has ended with 3"), ("deaf", "does not answer its health check")]
)
async def test_a_new_container_that_is_not_well_gives_way_to_the_old_one(
    bench: Bench, wait_until: WaitUntil, mode: str, says: str
) -> None:
    health = {"path": "/health/", "start_period": 0, "interval": 1, "retries": 1}
    await bench.up(port=8080, health=health)
    before = bench.id()
    broken = bench.container(port=8080, health=health, env={"MODE": mode}, restart="no", stop_seconds=0)
    with pytest.raises(Permanent, match=f"{says}; the one before it runs again"):
        await settled(broken, bench.notes)
    assert bench.id() == before
    assert bench.state()["Running"]
    assert bench.engine.counts(bench.install)[0] == 1
    restored = bench.container(port=8080, health=health)

    async def well() -> bool:
        return (await restored.probe(bench.notes)).ok

    await wait_until(well, 20)  # by itself: asking for it would mend it


async def test_whoever_asks_for_the_old_one_in_the_middle_gets_it_back(bench: Bench) -> None:
    await bench.up()
    before = bench.id()
    health = {"argv": ["/bin/busybox", "false"], "start_period": 60, "interval": 60}
    with pytest.raises(NotReady):  # it is not known yet
        await bench.up(health=health)
    assert bench.engine.counts(bench.install)[0] == 2
    await bench.up()
    assert (bench.id(), bench.engine.counts(bench.install)[0]) == (before, 1)


async def test_a_port_that_somebody_else_has_is_left_out(bench: Bench) -> None:
    first, second, third = bench.docker.ports
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", first))
        other.listen()
        _publish(bench, second)
        given = await bench.up(port=8080, health={"path": "/health/"})
    assert given["port"] == third
    assert bench.notes.get("refused") == [first, second]
    assert bench.engine.counts(bench.install)[0] == 2  # with the one that has the second


def _publish(bench: Bench, port: int) -> None:
    """A container that our table does not know."""
    bench.engine.http.post(
        "/networks/create", json={"Name": f"other-{port}", "Labels": {"keyturn.install": str(bench.install)}}
    )
    body = {
        "Image": IMAGE,
        "Labels": {"keyturn.install": str(bench.install)},
        "HostConfig": {
            "NetworkMode": f"other-{port}",
            "PortBindings": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]},
        },
    }
    made = bench.engine.http.post("/containers/create", json=body).json()["Id"]
    assert bench.engine.http.post(f"/containers/{made}/start").status_code == 204


async def test_rule_15_a_suspended_container_stays_down_whoever_starts_what(bench: Bench) -> None:
    container = bench.container()
    await container.ensure(bench.notes)
    await container.suspend(bench.notes)
    await container.suspend(bench.notes)
    assert bench.state()["Status"] == "exited"
    await container.ensure(bench.notes)
    for start in (container.start, container.restart):
        with pytest.raises(Permanent, match="suspended"):
            await start(bench.notes)
    assert bench.state()["Status"] == "exited"
    assert (await container.probe(bench.notes)).detail == "suspended"
    await container.resume(bench.notes)
    assert bench.state()["Running"]


async def test_it_is_stopped_started_restarted_and_watched(bench: Bench) -> None:
    container = bench.container(argv=["x"], env={"SITE_NAME": "x"}, port=8080, health={"path": "/health/"})
    await container.ensure(bench.notes)
    stats = await container.stats(bench.notes)
    assert 0 < stats.memory < 32 * 1024**2
    assert stats.processes >= 1
    await container.stop(bench.notes)
    assert not (await container.probe(bench.notes)).ok
    with pytest.raises(NotReady):
        await container.stats(bench.notes)
    await container.start(bench.notes)
    began = bench.state()["StartedAt"]
    await container.restart(bench.notes)
    assert bench.state()["StartedAt"] != began
    assert (await container.probe(bench.notes)).ok


async def test_its_words_can_be_read(bench: Bench) -> None:
    container = bench.container(env={"MODE": "words"}, port=8080, health={"path": "/health/"})
    await settled(container, bench.notes)
    said = await container.logs(bench.notes, 2)
    assert said.splitlines() == ["of it: two", "of it: three"]


async def test_what_somebody_else_made_under_our_name_is_never_touched(bench: Bench) -> None:
    http, other = bench.engine.http, str(uuid4())
    labels = {"Labels": {"keyturn.mark": f"{other}/app", "keyturn.install": other}}
    http.post("/networks/create", json={"Name": bench.name, **labels})
    http.post("/volumes/create", json={"Name": bench.name, **labels})
    http.post(
        f"/containers/create?name={bench.name}", json={"Image": IMAGE, "HostConfig": {"NetworkMode": "none"}, **labels}
    )
    network = DockerNetwork(bench.given(NetworkParameters(server="main")), bench.docker)
    volume = DockerVolume(bench.given(VolumeParameters(server="main")), bench.docker)
    container = bench.container(network="kt-0123456789abcdef-other")
    try:
        for resource in (network, volume, container):
            with pytest.raises(Permanent, match="it is not of this install"):
                await resource.ensure(bench.notes)
            assert not (await resource.probe(bench.notes)).ok
            await resource.suspend(bench.notes)
            assert await resource.destroy(bench.notes) == "not_found"
        assert bench.engine.counts(other) == (1, 1, 1)
    finally:
        bench.engine.remove(other)


async def test_who_needs_more_memory_than_allowed_is_told_so(bench: Bench, wait_until: WaitUntil) -> None:
    container = bench.container(limits={"memory": "6M", "cpus": 0.5}, env={"MODE": "greedy"}, restart="no")
    with suppress(NotReady):  # it may be seen before it takes too much
        await container.ensure(bench.notes)
    await wait_until(lambda: not bench.state()["Running"], 20)
    assert (await container.probe(bench.notes)).detail == "the container needed more memory than its limit"


@pytest.mark.parametrize("program", [["/nowhere"], ["/www"]])
async def test_a_program_that_cannot_be_run_is_final(bench: Bench, program: list[str]) -> None:
    await bench.up()
    with pytest.raises(Permanent):
        await DockerExec(bench.command(program), bench.docker).ensure(MemoryNotes())


async def test_a_command_is_run_once_and_what_we_died_over_is_asked_for(bench: Bench) -> None:
    await bench.up()
    notes = MemoryNotes()
    count = DockerExec(bench.command(["/bin/busybox", "sh", "-c", "echo x >> /tmp/count"]), bench.docker)
    await count.ensure(notes)
    await count.ensure(notes)
    ran, notes.kept = notes.kept, {}
    assert ran == {"done": True}

    class Dying(MemoryNotes):
        async def save(self, **said: Any) -> None:
            if "done" in said:
                raise KeyboardInterrupt  # as if we had died before it could be written
            await super().save(**said)

    dying = Dying()
    with pytest.raises(KeyboardInterrupt):
        await count.ensure(dying)
    after = MemoryNotes()
    after.kept = dying.kept
    await count.ensure(after)
    twice = ["/bin/busybox", "sh", "-c", "[ $(/bin/busybox wc -l < /tmp/count) = 2 ]"]
    await DockerExec(bench.command(twice), bench.docker).ensure(MemoryNotes())


async def test_a_command_that_the_engine_has_forgotten_runs_again_only_where_it_may(bench: Bench) -> None:
    await bench.up()
    for repeatable, raised in ((True, NotReady), (False, UnknownResult)):
        notes = MemoryNotes()
        notes.kept = {"run": "0" * 64}
        command = DockerExec(bench.command(["/bin/busybox", "true"], repeatable=repeatable), bench.docker)
        with pytest.raises(raised):
            await command.ensure(notes)
        await command.ensure(notes)
        assert notes.get("done")


async def test_a_command_runs_in_a_container_of_the_install_alone(bench: Bench) -> None:
    await bench.up()
    stranger = Given(uuid4(), "exec", bench.command(["/bin/busybox", "true"]).parameters)
    with pytest.raises(Permanent, match="not of this install"):
        await DockerExec(stranger, bench.docker).ensure(MemoryNotes())
    with pytest.raises(Permanent, match="not of this install"):
        await DockerSetup(stranger, bench.docker).run()


async def test_rule_13_a_password_is_handed_over_in_the_environment(bench: Bench) -> None:
    await bench.up(volumes={}, tmpfs={"/data": "6M"})
    hostile = "'; touch /tmp/x #$(reboot) \\ \"é\n"

    def setup(password: str) -> DockerSetup:
        return DockerSetup(bench.command(["/bin/set-password"], env={"PASSWORD": password}, refused=[2]), bench.docker)

    with pytest.raises(Refused, match="Use at least 10 characters"):
        await setup("short").run()
    await setup(hostile).run()
    await setup(hostile).run()
    found = [
        bench.engine.http.get(f"/exec/{one}/json").text for one in bench.engine.inspect(bench.name)["ExecIDs"] or []
    ]
    assert not any("touch" in said for said in found)


async def test_an_image_that_cannot_be_pulled_says_why(bench: Bench) -> None:
    def image(reference: str) -> DockerImage:
        return DockerImage(bench.given(ImageParameters(server="main", image=reference)), bench.docker)

    there = await image(IMAGE).ensure(bench.notes)
    assert str(there["id"]).startswith("sha256:")
    assert (await image(str(there["id"])).ensure(bench.notes))["id"] == there["id"]
    with pytest.raises(Transient, match=r"main cannot pull the image|the engine of main failed"):
        await image("127.0.0.1:1/nothing:1").ensure(bench.notes)
    with pytest.raises(Permanent, match="one without a name cannot be pulled"):
        await image("sha256:" + "0" * 64).ensure(bench.notes)
    elsewhere = DockerImage(bench.given(ImageParameters(server="gone", image=IMAGE)), bench.docker)
    with pytest.raises(NeedsOperator, match="there is no server 'gone'"):
        await elsewhere.ensure(bench.notes)


def test_the_engine_is_reached_over_a_socket_alone() -> None:
    from provisioner.resources.docker.hosts import connect

    for address in ("tcp://127.0.0.1:2375", "http://127.0.0.1:2375", "unix://relative", "unix:///a\n", "unix:///a?x"):
        with pytest.raises(NeedsOperator, match="looks like unix:///"):
            connect(address)
    assert isinstance(connect("unix:///var/run/docker.sock"), httpx.AsyncClient)
