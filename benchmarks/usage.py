"""What a program under test uses: CPU time and memory, its children's included."""

import time
from collections.abc import Iterable, Sequence

import psutil


def cpu_seconds(processes: Iterable[int]) -> float:
    return sum(used.user + used.system for used in (one.cpu_times() for one in _with_children(processes)))


def megabytes(processes: Iterable[int]) -> float:
    return sum(one.memory_info().rss for one in _with_children(processes)) / 1e6


def open_files(process: int) -> int:
    return psutil.Process(process).num_fds()


def until_quiet(processes: Sequence[int], within: float = 60.0) -> None:
    """Until they have done next to nothing for a while."""
    deadline = time.monotonic() + within
    used = cpu_seconds(processes)
    while time.monotonic() < deadline:
        time.sleep(0.4)
        before, used = used, cpu_seconds(processes)
        if used - before < 0.04 * len(processes):
            return


def _with_children(processes: Iterable[int]) -> list[psutil.Process]:
    found = [psutil.Process(process) for process in processes]
    return [*found, *(child for one in found for child in one.children(recursive=True))]
