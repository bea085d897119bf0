"""The programs that installs consist of, seen from outside: by what they were started with."""

import contextlib
from pathlib import Path


def started_with(variable: str) -> list[int]:
    """The live processes with this `NAME=value` in their environment."""
    return [pid for pid, environment in _all() if variable in environment]


def below(folder: Path) -> dict[int, str]:
    """Every program with its data below the folder: its pid, and which resource it says it is."""
    found = {}
    for pid, environment in _all():
        named = dict(line.partition("=")[::2] for line in environment)
        if named.get("DATA_DIR", "").startswith(f"{folder}/"):
            found[pid] = named.get("KEYTURN_RESOURCE", "")
    return found


def _all() -> list[tuple[int, list[str]]]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environment = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
            if (folder / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                found.append((int(folder.name), environment))
    return found
