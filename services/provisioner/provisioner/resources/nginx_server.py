"""Brings nginx to what the database says: rendered, tested, put in place, reloaded, and seen to serve.

All who want a change while one is under way share the next one; over replicas a lock on the folder keeps the order.
What is rendered is read after the lock is taken, so whoever comes later writes what is newer.
"""

import asyncio
import difflib
import fcntl
import os
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import httpx
from prometheus_client import Counter

from keyturn import failpoints
from keyturn.log import get_logger
from provisioner.resources.nginx_config import TOLD_AT, Around, Layout, render, version_of
from provisioner.resources.nginx_program import NginxProgram
from provisioner.resources.nginx_sites import ReadSites, Site, SiteRows
from provisioner.resources.port import NeedsOperator, Transient

LOCK_WITHIN = 60.0
SERVED_WITHIN = 30.0
NOBODY = "keyturn.invalid"  # a host that is no site: asked for the version alone
DIFF_LINES = 500

RELOADS = Counter("keyturn_nginx_reloads", "Reloads of nginx: several changes may share one")

log = get_logger()


@dataclass(frozen=True)
class Applied:
    """`running`: whether there is an nginx, which then serves it. `refused`: sites that nginx does not take, each with
    its words; the others are served without them. `diff`: what changed in the file."""

    version: str
    sites: int
    changed: bool
    running: bool
    refused: Mapping[str, str]
    diff: Sequence[str] = ()


class Nginx:
    """`read`: every site there is. `rows`: for the kind, which writes its own."""

    def __init__(self, layout: Layout, read: ReadSites, rows: SiteRows) -> None:
        self.layout = layout
        self.rows = rows
        self._read = read
        self._program = NginxProgram(layout.folder)
        self._current: asyncio.Task[Applied] | None = None
        self._next: asyncio.Task[Applied] | None = None
        self._any = ssl.create_default_context()
        self._any.check_hostname, self._any.verify_mode = False, ssl.CERT_NONE  # our own nginx, by its address

    async def close(self) -> None:
        for task in filter(None, (self._current, self._next)):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task

    async def apply(self) -> Applied:
        """What is in the database now is served when this returns. Raises `DriverError`."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._current), name="nginx")
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())  # perhaps nobody waits
        return await asyncio.shield(self._next)

    async def _after(self, current: asyncio.Task[Applied] | None) -> Applied:
        if current:
            await asyncio.wait([current])
        self._current, self._next = self._next, None
        return await self.regenerate()

    async def regenerate(self, *, dry: bool = False) -> Applied:
        """The same. `dry`: only tells what would be."""
        async with self._locked():
            before = await asyncio.to_thread(self._program.current)
            text, refused, count = await self._accepted(before)
            changed = text != before
            diff = await asyncio.to_thread(_diff, before, text) if dry else ()
            if changed and not dry:
                await asyncio.to_thread(self._program.place, text)
                await failpoints.hit("provisioner.nginx.placed")
            running = self._program.master() is not None
            if running and not dry:
                running = await self._bring(version_of(text), before if changed else "")
        return Applied(version_of(text), count, changed, running, refused, diff)

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        """Over all processes that use the folder; the system frees it whenever its holder ends."""
        await asyncio.to_thread(self._program.prepare)
        descriptor = os.open(self.layout.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            deadline = monotonic() + LOCK_WITHIN
            while not _free(descriptor):
                if monotonic() > deadline:
                    raise Transient("another provisioner has been at nginx for a long time")
                await asyncio.sleep(0.02)
            yield
        finally:
            os.close(descriptor)

    async def _accepted(self, before: str) -> tuple[str, Mapping[str, str], int]:
        """The configuration without what nginx refuses. Whatever stands in the present one it has taken already: only
        what is new can be at fault. Raises `NeedsOperator` where it is something else."""
        around = Around(await self._program.version(), await asyncio.to_thread(_bytes, self.layout.certificate))
        sites, refused = _sound(await self._read())
        text = await self._render(sites, around)
        if text != before and await self._program.test(text):
            served = {word.removesuffix(";") for word in before.split()}
            tried = [site for site in sites if site.mark in served]
            if words := await self._program.test(await self._render(tried, around)):
                raise NeedsOperator(f"nginx refuses the configuration: {words}")
            suspects = [site for site in sites if site.mark not in served]
            sites, more = await self._sift(tried, suspects, around)
            text, refused = await self._render(sites, around), {**refused, **more}
        for name, words in refused.items():
            log.error("site_refused", hostname=name, words=words)
        return text, refused, len(sites)

    async def _render(self, sites: Sequence[Site], around: Around) -> str:
        """With thousands of sites it takes longer than others on the event loop should wait."""
        return await asyncio.to_thread(render, self.layout, sites, around)

    async def _sift(
        self, good: list[Site], suspects: list[Site], around: Around
    ) -> tuple[list[Site], Mapping[str, str]]:
        words = await self._program.test(await self._render([*good, *suspects], around))
        if not words:
            return [*good, *suspects], {}
        if len(suspects) == 1:
            return good, {suspects[0].hostname: words}
        middle = len(suspects) // 2
        good, first = await self._sift(good, suspects[:middle], around)
        good, second = await self._sift(good, suspects[middle:], around)
        return good, {**first, **second}

    async def _bring(self, version: str, before: str) -> bool:
        """Reload where it serves something else; False where it ended meanwhile. `before`: what to put back where it
        cannot, and goes on with that."""
        program, master = self._program, self._program.master()
        if master is None:
            return False
        if await self._serves(version):
            return True
        old, log_end = program.workers(master), program.log_end()
        program.reload(master)
        RELOADS.inc()
        await failpoints.hit("provisioner.nginx.reloaded")
        deadline, pause = monotonic() + SERVED_WITHIN, 0.01
        while not (await self._serves(version) and not old.accepting()):
            if program.master() is None:
                return False
            if words := program.emergencies(log_end):
                if before:
                    await asyncio.to_thread(program.place, before)
                raise NeedsOperator(f"nginx could not reload and goes on as before: {words}")
            if monotonic() > deadline:
                raise Transient("nginx was told to reload and does not serve what it was given")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.2)
        return True

    async def _serves(self, version: str) -> bool:
        return (await self.tells(NOBODY)).partition(" ")[0] == version

    async def tells(self, hostname: str) -> str:
        """What it answers about a host: its version, and the site's mark. Empty where nothing answers."""
        try:
            # On a connection of its own: one that is kept stays with a worker that is being replaced.
            async with httpx.AsyncClient(verify=self._any, timeout=3, trust_env=False) as client:
                answer = await client.get(
                    f"https://{self.layout.reached_at}{TOLD_AT}",
                    headers={"host": hostname, "connection": "close"},
                    extensions={"sni_hostname": hostname},
                )
        except httpx.HTTPError:
            return ""
        return answer.text.strip() if answer.status_code == 200 else ""


def _free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sound(sites: Sequence[Site]) -> tuple[list[Site], Mapping[str, str]]:
    """Those that may stand in the file, and what is wrong with the others: rows that nobody of ours has written."""
    good: list[Site] = []
    refused: dict[str, str] = {}
    for site in sites:
        try:
            site.check()
            good.append(site)
        except ValueError as error:
            refused[site.hostname] = str(error)
    return good, refused


def _bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""  # nginx says what is wrong with it


def _diff(before: str, after: str) -> Sequence[str]:
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), "nginx.conf", "from the database", lineterm=""
    )
    return [line for line, _ in zip(lines, range(DIFF_LINES), strict=False)]
