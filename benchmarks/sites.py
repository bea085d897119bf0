"""Adding the 1st, 100th, 1,000th and 3,000th site behind a real nginx: from the row in the database until a visitor of
the new name, on a connection of their own, is answered by what stands behind it.

Beside it, on the same nginx: the 3,000th as it is usually done, with a `server` block for each site.
"""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg

from benchmarks import table
from benchmarks.brokers import RabbitMQ
from benchmarks.budgets import Row
from benchmarks.history import superuser
from keyturn.clock import SystemClock
from keyturn.database import Database, migrate
from provisioner.repository import sites
from provisioner.resources.nginx_config import Around, Layout, render, version_of
from provisioner.resources.nginx_program import NginxProgram
from provisioner.resources.nginx_server import Nginx
from provisioner.resources.nginx_sites import Site
from sandbox.postgres import Postgres
from support.nginx import DOMAIN, PrivateNginx

SIZES = (1, 100, 1_000, 3_000)
ROUNDS = 7
BLOCKS = "a server block each"
HEADINGS = ("the nth site", "ms", "the slowest", "of which -t")
FILL = """
INSERT INTO sites (hostname, install_id, resource, upstream, state, body_size)
SELECT 's' || n || $1, gen_random_uuid(), 'site', $2, 'on', '25m' FROM generate_series($3::int, $4::int) AS n
ON CONFLICT DO NOTHING
"""


class Bench:
    def __init__(self, web: PrivateNginx, database: Database, filling: asyncpg.Connection, upstream: str) -> None:
        self.web = web
        self._database = database
        self._filling = filling
        self._upstream = upstream
        where = (f"127.0.0.1:{web.https}",)
        self.layout = Layout(web.folder, web.challenges, where, (), str(web.certificate), str(web.key), web.https)
        self.nginx = Nginx(self.layout, lambda: sites.all_of_them(database), sites)

    async def fill(self, count: int) -> None:
        await self._filling.execute(FILL, f".{DOMAIN}", self._upstream, 1, count)
        await self.nginx.regenerate()

    def new(self) -> Site:
        name = f"new-{uuid4().hex[:8]}.{DOMAIN}"
        return Site(name, UUID(int=1), "site", self._upstream, "on", "25m")

    async def add(self) -> float:
        """Milliseconds. The site is removed again."""
        site, owner = self.new(), (UUID(int=1), "site")
        began = time.perf_counter()
        async with self._database.transaction("keep") as tx:
            await sites.put(tx, owner, [site])
        await self.nginx.apply()
        assert await self.web.status(site.hostname) == 200
        took = time.perf_counter() - began
        async with self._database.transaction("keep") as tx:
            await sites.remove(tx, owner)
        await self.nginx.apply()
        return took * 1e3

    async def tested(self) -> float:
        program = NginxProgram(self.web.folder)
        text = program.current()
        began = time.perf_counter()
        assert not await program.test(text)
        return (time.perf_counter() - began) * 1e3

    async def add_block(self) -> float:
        """The 3,000th, each with a block of its own."""
        program = NginxProgram(self.web.folder)
        names = [site.hostname for site in await sites.all_of_them(self._database)]
        around = Around(await program.version(), self.web.certificate.read_bytes())
        text = self._blocks([*names, self.new().hostname], around)
        master = program.master()
        assert master
        began = time.perf_counter()
        assert not await program.test(text)
        program.place(text)
        program.reload(master)
        while not (await self.nginx.tells("x.example")).startswith(version_of(text)):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        return (time.perf_counter() - began) * 1e3

    def _blocks(self, names: Sequence[str], around: Around) -> str:
        layout = self.layout
        pair = f"ssl_certificate {layout.certificate}; ssl_certificate_key {layout.certificate_key};"
        listen = f"listen {layout.https[0]} ssl;"
        blocks = [
            f"server {{ {listen} server_name {name}; {pair} location / {{ proxy_pass http://{self._upstream}; }} }}"
            for name in names
        ]
        text = render(layout, [], around)
        return text.replace(version_of(text), f"{uuid4().hex}{uuid4().hex}").removesuffix("}\n") + "\n".join(
            [*blocks, "}\n"]
        )


@contextlib.asynccontextmanager
async def bench(postgres: Postgres) -> AsyncIterator[Bench]:
    url = postgres.create_databases(("sites",))["sites"]
    await migrate(url, "provisioner")
    database = Database(url, service="provisioner", clock=SystemClock())
    filling = await asyncpg.connect(superuser(postgres, url))
    await filling.execute("ALTER TABLE sites DROP CONSTRAINT fk_sites_install_id_installs")  # no installs are needed
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    web = PrivateNginx()
    try:
        made = Bench(web, database, filling, f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await made.nginx.regenerate()
        await web.start()
        yield made
        await made.nginx.close()
    finally:
        web.remove()
        server.close()
        await filling.close()
        await database.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError):  # a worker that is replaced closes what it has kept
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    writer.close()


async def measure(postgres: Postgres) -> list[Row]:
    found, shown = {}, []
    async with bench(postgres) as made:
        for size in SIZES:
            await made.fill(size - 1)
            await made.add()
            took = [await made.add() for _ in range(ROUNDS)]
            found[size] = statistics.median(took)
            shown.append([f"{size:,}", f"{found[size]:.0f}", f"{max(took):.0f}", f"{await made.tested():.0f}"])
        blocks = statistics.median([await made.add_block() for _ in range(3)])
    shown.append([f"{SIZES[-1]:,}, {BLOCKS}", f"{blocks:.0f}", "", ""])
    table.show(f"adding a site until a visitor is answered, median of {ROUNDS}", HEADINGS, shown)
    first, last = found[SIZES[0]], found[SIZES[-1]]
    return [
        Row(13, "adding the 3,000th site, ms", last, "most", 3, "the 1st", first),
        Row(13, "adding the 3,000th site, ms", last, "most", 0.2, BLOCKS, blocks),
        Row(13, "the same, ms", last, "most", 1_000),
    ]


def main(_scratch: Path, postgres: Postgres, _broker: RabbitMQ) -> list[Row]:
    return asyncio.run(measure(postgres))
