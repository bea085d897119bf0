"""Ours beside `peers/jobs`: the provisioner's engine and worker with resources that do nothing, each step recorded.

python -m benchmarks.jobs_ours POSTGRES JOBS IN_FLIGHT

A job is an entitlement that is heard, five resources each of which needs the one before, and the probe: six steps, with
the events about each of them in the outbox.
"""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import uvloop

from keyturn.clock import SystemClock
from keyturn.database import Database, migrate
from keyturn.events import Contact, EntitlementChanged
from keyturn.sealing import KeyRing, new_key_line
from keyturn.work import Work, WorkKind
from keyturn.worker import Worker
from provisioner import blueprints
from provisioner.deps import ProvisionerDeps
from provisioner.engine.begun import Recorder
from provisioner.engine.jobs import JOB
from provisioner.engine.run import run_job
from provisioner.handlers import on_entitlement_changed
from provisioner.resources import Kinds
from provisioner.resources.port import Gone, Health, Notes, Outputs, Pace, Parameters, Resource
from provisioner.settings import ProvisionerSettings

STEPS = "".join(f'  s{n}: {{type: noop.step, after: "{{s{n - 1}.done}}"}}\n' for n in range(2, 6))
BLUEPRINT = f"name: nothing\nresources:\n  s1: {{type: noop.step}}\n{STEPS}"


class NothingParameters(Parameters):
    after: str | bool | None = None


class Nothing(Resource[NothingParameters]):
    Parameters = NothingParameters
    outputs = frozenset({"done"})
    pace = Pace(together=1000)

    async def ensure(self, notes: Notes) -> Outputs:  # noqa: ARG002
        return {"done": True}

    async def probe(self, notes: Notes) -> Health:  # noqa: ARG002
        return Health(ok=True)

    async def destroy(self, notes: Notes) -> Gone:  # noqa: ARG002
        return "not_found"


def _deps(url: str, folder: Path) -> ProvisionerDeps:
    (folder / "nothing.yaml").write_text(BLUEPRINT)
    keys, mail_keys = new_key_line("sealing"), new_key_line("mail")
    given: dict[str, Any] = {"database_url": url, "sealing_keys": keys, "mail_keys": mail_keys, "blueprints": folder}
    settings = ProvisionerSettings(_env_file=None, internal_key="", bus_url="memory://jobs", local_data=folder, **given)
    kinds = Kinds(resources={"noop.step": Nothing}, setup={}, tools={})
    clock = SystemClock()
    database = Database(url, service="provisioner", clock=clock)
    return ProvisionerDeps(
        database=database,
        clock=clock,
        settings=settings,
        keys=KeyRing.from_text(keys),
        mail_keys=KeyRing.from_text(mail_keys),
        kinds=kinds,
        blueprints=blueprints.load(folder, kinds),
        recorder=Recorder(database),
    )


class Jobs:
    def __init__(self, deps: ProvisionerDeps, in_flight: int) -> None:
        self._deps = deps
        self._done: dict[str, asyncio.Future[None]] = {}
        self._room = asyncio.Semaphore(in_flight)
        self.worker = Worker(deps.database, {JOB: WorkKind(self._run)}, deps, slots=in_flight)

    async def _run(self, work: Work, deps: ProvisionerDeps) -> None:
        await run_job(work, deps)
        self._done.pop(work.key).set_result(None)

    async def run(self, count: int) -> None:
        await asyncio.gather(*(self._one(uuid4()) for _ in range(count)))

    async def _one(self, install: UUID) -> None:
        async with self._room:
            done = self._done[str(install)] = asyncio.get_running_loop().create_future()
            event = EntitlementChanged(
                subject=str(install),
                time=self._deps.clock.now(),
                version=1,
                wanted="on",
                product="nothing",
                plan="only",
                blueprint="nothing",
                parameters={},
                limits={},
                contact=Contact(email="somebody@customers.example", name="Somebody"),
            )
            async with self._deps.database.transaction("entitled", cause=event) as tx:
                await on_entitlement_changed(event, tx)
            await done


async def main(url: str, count: int, in_flight: int, folder: Path) -> None:
    await migrate(url, "provisioner")
    deps = _deps(url, folder)
    jobs = Jobs(deps, in_flight)
    await jobs.worker.start()
    await jobs.run(in_flight * 2)  # connections are opened, statements prepared
    began, used = time.perf_counter(), time.process_time()
    await jobs.run(count)
    print(json.dumps({"seconds": time.perf_counter() - began, "cpu": time.process_time() - used}))
    await jobs.worker.stop()
    await deps.database.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(scratch)))
