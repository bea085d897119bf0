"""The Dockerfile, and the scripts that run in containers."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "deploy/docker/Dockerfile").read_text()
LAST_STAGE = DOCKERFILE.rpartition("\nFROM ")[2]


def test_base_images_have_a_version() -> None:
    images = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert images
    assert all(re.search(r":\d", image) for image in images)


def test_an_image_runs_as_nobody_in_particular() -> None:
    assert "\nUSER 10001\n" in LAST_STAGE
    assert "nologin" in LAST_STAGE


def test_the_entry_point_is_run_without_a_shell() -> None:
    assert re.search(r'^ENTRYPOINT \["', LAST_STAGE, re.MULTILINE)


def test_everything_installed_is_checked_against_a_hash_or_is_our_own() -> None:
    for command in re.findall(r"pip (?:install|wheel) [^&\\\n]*", DOCKERFILE):
        assert "--require-hashes" in command or "--no-index" in command, command


def test_the_build_gets_nothing_but_sources() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert not any(line.startswith("!") and ("env" in line or "git" in line) for line in ignored)


def test_no_secret_is_built_in() -> None:
    assert not re.search(r"^(ARG|ENV) .*(PASS|SECRET|KEY|TOKEN)", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize("path", ["deploy/docker/postgres-init.sh"])
def test_scripts_are_valid_shell_and_stop_at_the_first_error(path: str) -> None:
    text = (ROOT / path).read_text()
    assert "set -eu" in text
    shell = shutil.which("sh")
    assert shell
    subprocess.run([shell, "-n", ROOT / path], check=True)
