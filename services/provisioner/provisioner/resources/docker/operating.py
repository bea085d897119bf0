"""What people want of a running container: its words, what it uses, and to be started again."""

from dataclasses import dataclass
from typing import Any

from provisioner.resources.docker.containers import Containers
from provisioner.resources.docker.frames import Frames
from provisioner.resources.port import NotReady

LINES = 200


@dataclass(frozen=True)
class Stats:
    """`memory` in bytes; `cpu` in seconds since it was started."""

    memory: int
    cpu: float
    processes: int


async def logs(containers: Containers, lines: int = LINES) -> str:
    """The newest lines of both streams, which are not in order between each other."""
    frames = Frames()
    params = {"stdout": "1", "stderr": "1", "tail": str(lines)}
    async with containers.engine.stream("GET", "containers", containers.name, "logs", params=params) as response:
        async for part in response.aiter_raw():
            frames.take(part)
    return frames.text


async def stats(containers: Containers) -> Stats:
    params = {"stream": "false", "one-shot": "true"}
    answer = await containers.engine.ask(
        "GET", "containers", containers.name, "stats", params=params, expect={200, 404, 409}
    )
    said: dict[str, Any] = answer.json() if answer.status == 200 else {}
    if "usage" not in said.get("memory_stats", {}):  # not so where it does not run
        raise NotReady("the container does not run")
    return Stats(
        memory=int(said["memory_stats"]["usage"]),
        cpu=said["cpu_stats"]["cpu_usage"]["total_usage"] / 10**9,
        processes=int(said["pids_stats"].get("current", 0)),
    )


async def restart(containers: Containers, seconds: int) -> None:
    """The same container again. Its data and its port stay."""
    await containers.engine.change(
        "container.restart",
        "POST",
        "containers",
        containers.name,
        "restart",
        params={"t": seconds},
        wait=seconds + 30.0,
        expect={204},
    )
