"""`make run` as people use it: one process and one folder, killed hard, started again, and ended with Ctrl-C."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest

from sandbox import programs
from sandbox.ports import free_port
from sandbox.postgres import SERVICES
from support.waiting import WaitUntil

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]
LINK = re.compile(r"https?://\S+/setup/([\w-]+)")


@dataclass
class Run:
    """One `python -m sandbox.system`, and what it printed."""

    process: subprocess.Popen[str]
    lines: dict[str, str]

    def address(self, name: str) -> str:
        return self.lines[name].removesuffix("/deliveries")

    async def ended(self) -> tuple[int, str]:
        """The exit code, and what else was printed."""
        rest, _ = await asyncio.to_thread(self.process.communicate)
        return self.process.returncode, rest


Start = Callable[..., Awaitable[Run]]


@pytest.fixture
async def folder(wait_until: WaitUntil) -> AsyncIterator[Path]:
    """Where PostgreSQL can enter as another user. After a run that was killed it writes everything to the disk before it
    ends, on a busy one for long: nobody needs the data any more, so it is told to end at once."""
    made = Path(tempfile.mkdtemp(prefix="keyturn-restart-"))
    made.chmod(0o755)  # noqa: ASYNC240 - at once
    yield made
    running = made / "postgres/data/postmaster.pid"
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int(running.read_text().partition("\n")[0]), signal.SIGQUIT)
    await wait_until(lambda: not running.exists(), 60)
    shutil.rmtree(made, ignore_errors=True)


def command(folder: Path, **settings: str) -> subprocess.Popen[str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    arguments = [sys.executable, "-m", "sandbox.system", "--data", str(folder)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(arguments, env=inherited | settings, text=True, **streams)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
async def start(folder: Path) -> AsyncIterator[Start]:
    """`await start(FAILPOINTS=...)`: running, and everything answers."""
    started: list[subprocess.Popen[str]] = []
    port = str(free_port())

    async def begin(**settings: str) -> Run:
        process = command(folder, PORT=port, **settings)
        started.append(process)
        assert process.stdout
        lines: dict[str, str] = {}
        async with asyncio.timeout(60):
            while "razorpay" not in lines:
                line = await asyncio.to_thread(process.stdout.readline)
                assert line, lines
                name, _, value = line.strip().partition(": ")
                lines[name] = value
        assert lines["ready"] == f"http://127.0.0.1:{port}"
        return Run(process, lines)

    yield begin
    for process in started:
        with process:  # waits for it and closes its pipe, also where it was read to its end already
            process.kill()
    await programs.stop_below(folder / "installs")


async def order(run: Run) -> dict[str, str]:
    async with httpx.AsyncClient(base_url=run.lines["ready"], timeout=20) as client:
        wanted = {"email": "ada@customers.example", "name": "Ada", "storeName": "Shop", "currency": "EUR"}
        answer = await client.post("/api/checkout", json=wanted)
        return dict(answer.raise_for_status().json())


async def pay(run: Run, bought: dict[str, str]) -> None:
    async with httpx.AsyncClient(base_url=run.address("stripe"), timeout=20) as stripe:
        answer = await stripe.post(f"/_control/stripe/sessions/{bought['sessionId']}/pay", json={})
        answer.raise_for_status()


async def journey(run: Run, bought: dict[str, str]) -> list[str]:
    token = await asyncio.to_thread(Path(run.lines["operator token"]).read_text)
    headers = {"authorization": f"Bearer {token.strip()}"}
    async with httpx.AsyncClient(base_url=run.lines["ready"], timeout=20) as client:
        answer = await client.get(f"/api/journeys/{bought['purchaseId']}", headers=headers)
        return [event["type"] for event in answer.raise_for_status().json()["events"]]


async def set_password(run: Run, wait_until: WaitUntil) -> None:
    """With the link in the only mail that has one."""
    async with httpx.AsyncClient(timeout=20) as client:

        async def mails() -> list[dict[str, str]]:
            answer = await client.get(f"{run.address('mailbox')}/api/mails", params={"to": "ada@customers.example"})
            return [mail for mail in answer.json()["mails"] if LINK.search(mail["text"])]

        await wait_until(mails, 60)
        (mail,) = await mails()
        token = LINK.findall(mail["text"])[0]
        body = {"password": "correct horse battery", "confirmPassword": "correct horse battery"}
        (await client.post(f"{run.lines['ready']}/api/setup/{token}", json=body)).raise_for_status()


async def free_leases(folder: Path, killed: Run) -> None:
    """What the killed process had in hand is due at once, rather than when its leases run out."""
    server = folder / "postgres"
    port = int((server / "data/postmaster.pid").read_text().splitlines()[3])
    password = (server / "password").read_text().strip()
    for name in SERVICES:
        address = f"postgresql://postgres:{password}@127.0.0.1:{port}/{name}"
        connection = await asyncpg.connect(address)
        sql = "UPDATE work SET leased_until = clock_timestamp() WHERE leased_until IS NOT NULL AND worker LIKE $1"
        await connection.execute(sql, f"%:{killed.process.pid}")
        await connection.close()


async def test_what_lay_in_memory_when_the_process_was_killed_is_not_lost(
    start: Start, folder: Path, wait_until: WaitUntil
) -> None:
    """The entitlement is published, and the provisioner is killed in the middle of taking it: no outbox has it any
    more, and nobody else asks for it again."""
    run = await start(FAILPOINTS="provisioner.on_entitlement_changed_v1.before_commit=sleep:600")
    bought = await order(run)
    await pay(run, bought)

    async def told() -> bool:
        return "entitlement.changed.v1" in await journey(run, bought)

    await wait_until(told, 30)
    assert "install.requested.v1" not in await journey(run, bought)
    run.process.kill()
    await run.ended()

    run = await start()
    await set_password(run, wait_until)

    async def active() -> bool:
        return "install.activated.v1" in await journey(run, bought)

    await wait_until(active, 30)
    seen = await journey(run, bought)
    assert [seen.count(f"{what}.v1") for what in ("purchase.paid", "install.ready", "install.activated")] == [1, 1, 1]
    run.process.send_signal(signal.SIGINT)
    async with asyncio.timeout(60):
        assert await run.ended() == (0, "")
    assert programs.below(folder) == []


async def test_killed_right_after_the_payment_it_goes_on_where_it_was(
    start: Start, folder: Path, wait_until: WaitUntil
) -> None:
    run = killed = await start()
    bought = await order(run)
    await pay(run, bought)
    state = Path(run.lines["operator token"]).parent / "stripe.json"
    await wait_until(lambda: '"payment_status": "paid"' in state.read_text(), 10)  # the provider remembers, at least
    run.process.kill()
    await run.ended()
    run = await start()
    await free_leases(folder, killed)
    await set_password(run, wait_until)


async def test_a_second_run_on_the_folder_says_that_one_is_running(start: Start, folder: Path) -> None:
    await start()
    second = Run(command(folder, PORT=str(free_port())), {})
    assert await second.ended() == (2, f"{folder} is in use: the sandbox is running already\n")


async def test_a_taken_port_is_told_in_one_line(folder: Path) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        run = Run(command(folder, PORT=str(taken.getsockname()[1])), {})
        code, output = await run.ended()
    assert (code, output.count("\n")) == (2, 1)
    assert "Address already in use; choose another with PORT" in output


async def test_a_catalogue_with_a_fault_is_told_in_one_line(folder: Path) -> None:
    catalog = folder / "catalog.yaml"
    catalog.write_text("default: shop\nproducts: []\n")
    code, output = await Run(command(folder, PORT=str(free_port()), CATALOG=str(catalog)), {}).ended()
    assert (code, output.count("\n")) == (2, 1)
    assert output.startswith("catalog.yaml:2: products")


async def test_processes_need_a_broker(folder: Path) -> None:
    arguments = [sys.executable, "-m", "sandbox.system", "--processes", "--data", str(folder)]
    ended = await asyncio.to_thread(
        subprocess.run, arguments, env={"PATH": os.environ["PATH"], "PORT": "0"}, capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("services as processes need BUS_URL=amqp://")
