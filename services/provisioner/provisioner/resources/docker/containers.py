"""One container at its engine: the calls, and what the engine says of it."""

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from provisioner.resources.docker import images, marks
from provisioner.resources.docker.engine import Answer, Engine
from provisioner.resources.docker.spec import Spec
from provisioner.resources.port import Given, NotReady, Permanent

Verdict = Literal["well", "starting", "unwell"]
CRASHES = 3  # so often it may be started again before that is no start any more


class PortTaken(Exception):
    """By somebody whom our table does not know."""


@dataclass(frozen=True)
class Container:
    """`now`: the host's time, when it was looked at."""

    name: str
    inspected: Mapping[str, Any] = field(repr=False)
    now: datetime

    @property
    def labels(self) -> Mapping[str, str]:
        return self.inspected["Config"]["Labels"] or {}

    @property
    def sha256(self) -> str:
        return self.labels.get(marks.SPEC, "")

    @property
    def state(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.inspected["State"]
        return found

    @property
    def never_ran(self) -> bool:
        """Or it is what an engine could not remove wholly."""
        return self.state["Status"] in {"created", "dead"}

    @property
    def running(self) -> bool:
        return bool(self.state["Running"]) and not self.state["Paused"]

    def lacks(self, limits: Mapping[str, Any]) -> bool:
        """Swap apart, which not every host can limit."""
        there = self.inspected["HostConfig"]
        return any(there.get(name) != value for name, value in limits.items() if name != "MemorySwap")

    def age(self) -> float:
        """Seconds since it was started."""
        return (self.now - datetime.fromisoformat(self.state["StartedAt"][:19] + "+00:00")).total_seconds()

    def verdict(self) -> Verdict:
        """As far as the engine knows."""
        if not self.running or self.state["Restarting"]:
            again = self.state["Restarting"] and self.inspected["RestartCount"] < CRASHES
            return "starting" if again else "unwell"
        asked = (self.state.get("Health") or {}).get("Status", "none")
        return {"starting": "starting", "unhealthy": "unwell"}.get(asked, "well")  # type: ignore[return-value] # mypy widens the values

    def words(self) -> str:
        """Why it is not well, for people."""
        if self.state["OOMKilled"]:
            return "the container needed more memory than its limit"
        if not self.running:
            return f"the container has ended with {self.state['ExitCode']}"
        return "the container does not answer its health check"


@dataclass(frozen=True)
class Containers:
    """Those of one resource: `name`, and the one that it replaces until it is well."""

    engine: Engine
    given: Given[Any]

    @property
    def name(self) -> str:
        return self.given.slug

    @property
    def old(self) -> str:
        return f"{self.given.slug}-old"

    @property
    def all(self) -> tuple[str, ...]:
        return self.name, self.old, self._helper

    @property
    def _helper(self) -> str:
        return f"{self.given.slug}-own"

    async def look(self, name: str) -> Container | None:
        """None where there is none, or none of ours."""
        found = await self._inspect(name)
        return found if found and marks.ours(self.given, found.labels) else None

    async def claim(self, name: str) -> Container | None:
        """None where there is none. Raises `Permanent` for somebody else's, `NotReady` for one on its way out."""
        found = await self._inspect(name)
        if found:
            marks.must_be_ours(self.given, "container", found.labels)
            if found.state["Status"] == "removing":
                raise NotReady("the container is being removed", after=timedelta(seconds=2))
        return found

    async def _inspect(self, name: str) -> Container | None:
        answer = await self.engine.ask("GET", "containers", name, "json", expect={200, 404})
        if answer.status == 404:
            return None
        found = answer.json()
        return Container(name, found, parsedate_to_datetime(answer.date)) if found["Name"] == f"/{name}" else None

    async def create(self, spec: Spec) -> Container:
        labels = {**marks.labels(self.given), marks.SPEC: spec.sha256}
        body = {**spec.body, "Labels": labels, "HostConfig": {**spec.body["HostConfig"], **spec.limits}}
        await self._create("container", self.name, body)
        if made := await self.claim(self.name):
            return made
        raise NotReady("somebody has removed the container", after=timedelta(seconds=1))

    async def _create(self, what: str, name: str, body: Mapping[str, Any]) -> None:
        """The image is pulled where it is not there."""
        how: dict[str, Any] = {"params": {"name": name}, "body": body, "expect": {201, 404, 409}}
        answer = await self.engine.change(f"{what}.create", "POST", "containers", "create", **how)
        if answer.status == 404 and "no such image" in answer.words.lower():
            await images.present(self.engine, body["Image"])
            answer = await self.engine.change(f"{what}.create", "POST", "containers", "create", **how)
        if answer.status == 404:
            raise self.engine.refusal(answer)
        if answer.status == 409:
            raise NotReady("the container's name is being taken at this moment", after=timedelta(seconds=1))

    async def start(self) -> None:
        """Raises `PortTaken`."""
        answer = await self.engine.change(
            "container.start",
            "POST",
            "containers",
            self.name,
            "start",
            wait=60,
            expect={204, 304, 400, 404, 409, 500},
        )
        if answer.status not in {204, 304}:
            raise self._not_started(answer)

    def _not_started(self, answer: Answer) -> Exception:
        if "already allocated" in answer.words or "address already in use" in answer.words:
            return PortTaken()
        if answer.status == 500 and "OCI runtime" in answer.words:
            return Permanent(f"the container cannot be started: {answer.words}")
        return self.engine.refusal(answer)

    async def stop(self, name: str, seconds: int) -> None:
        await self.engine.change(
            "container.stop",
            "POST",
            "containers",
            name,
            "stop",
            params={"t": seconds},
            wait=seconds + 30.0,
            expect={204, 304, 404},
        )

    async def rename(self, before: str, after: str) -> None:
        await self.engine.change(
            "container.rename", "POST", "containers", before, "rename", params={"name": after}, expect={204}
        )

    async def remove(self, name: str, what: str = "container") -> bool:
        """With its anonymous volumes. Raises `NotReady` where somebody else is at it."""
        answer = await self.engine.change(
            f"{what}.remove",
            "DELETE",
            "containers",
            name,
            params={"force": 1, "v": 1},
            wait=60,
            expect={204, 404, 409},
        )
        if answer.status == 409:
            raise NotReady("the container is being removed", after=timedelta(seconds=2))
        return answer.status == 204

    async def limit(self, limits: Mapping[str, Any]) -> bool:
        """While it runs; False where the engine cannot, as where more is in use than is allowed now."""
        answer = await self.engine.change(
            "container.update", "POST", "containers", self.name, "update", body=limits, expect=range(200, 600)
        )
        return answer.status == 200

    async def own(self, image: str, volumes: Mapping[str, str], user: tuple[int, int]) -> None:
        """Give new volumes, which are root's, to this user and group: through a container that never runs, whose root
        can be written."""
        helper = self._helper
        if await self.claim(helper):
            await self.remove(helper, "helper")
        mounts = [{"Type": "volume", "Source": name, "Target": path} for path, name in volumes.items()]
        await self._create(
            "helper", helper, {"Image": image, "Labels": marks.labels(self.given), "HostConfig": {"Mounts": mounts}}
        )
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path in volumes:
                entry = tarfile.TarInfo(path.removeprefix("/"))
                entry.type, entry.mode, (entry.uid, entry.gid) = tarfile.DIRTYPE, 0o750, user
                archive.addfile(entry)
        await self.engine.change(
            "helper.own",
            "PUT",
            "containers",
            helper,
            "archive",
            params={"path": "/"},
            body=packed.getvalue(),
            expect={200},
        )
        await self.remove(helper, "helper")
