"""What the pages name exists: settings, commands, metrics, events, make targets, modules, files, links."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from prometheus_client import REGISTRY
from pydantic import SecretStr
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.main import get_command
from typer.testing import CliRunner, Result

from gateway.app import ROUTERS
from keyturn.events import BY_WIRE
from keyturn.settings import SecretList, fields, variable
from keyturn_cli.config import Login, save
from keyturn_cli.main import app
from keyturn_cli.session import Session
from sandbox.docs import SERVICES
from support import pages
from support.pages import PAGES, ROOT, Block

NAMES = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
# In capitals, and no setting of a service: what tests, the broker's set-up, the command and make read.
OTHERS = {
    "BUS_ADMIN_URL", "KEYTURN_URL", "XDG_CONFIG_HOME", "CRM_PASSWORD", "DATA_DIR", "SETUP_TOKEN", "SITE_NAME",
    "ADMIN_EMAIL", "TEST_POSTGRES_URL", "TEST_RABBITMQ_URL", "TEST_RABBITMQ_MANAGEMENT_URL", "MIGRATIONS_URL", "NET_BIND_SERVICE", "DOCKER_HOST",
}  # fmt: skip


def _settings() -> dict[str, object]:
    found: dict[str, object] = {}
    for service in SERVICES:
        module = importlib.import_module(f"{service}.settings")
        made = getattr(module, f"{service.capitalize()}Settings")
        found |= {variable(name, field): field.annotation for name, field in fields(made)}
    return found


def _of_compose() -> set[str]:
    return set(NAMES.findall((ROOT / "deploy/docker/compose.env.example").read_text() + _compose()))


def _compose() -> str:
    return (ROOT / "docker-compose.yml").read_text()


SETTINGS = _settings()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    quoted = " ".join(pages.codes(pages.prose(page)))
    shell = " ".join(block.text for block in pages.blocks(page) if block.language == "sh")
    named = set(NAMES.findall(quoted)) | set(NAMES.findall(shell))
    placeholders = {
        "PURCHASE_ID",
        "PAYMENT_ID",
        "INSTALL_ID",
        "WEBHOOK_ID",
        "MESSAGE_ID",
        "TOKEN_ID",
        "RUN_ID",
        "CUSTOMER_ID",
        "CERTIFICATE_ID",
    }
    assert named - set(SETTINGS) - _of_compose() - OTHERS - placeholders == set()


def test_the_operators_page_names_every_secret() -> None:
    secret = {name for name, kind in SETTINGS.items() if kind in {SecretStr, SecretList} or name.endswith("_KEY")}
    page = (pages.DOCS / "operators.md").read_text()
    assert {name for name in secret if name not in page} == set()


def test_the_operators_page_lists_exactly_the_metrics_that_there_are() -> None:
    for service in SERVICES:
        importlib.import_module(f"{service}.app")
    real = {name for name in REGISTRY._names_to_collectors if name.startswith("keyturn_")}
    base = {re.sub(r"_(created|bucket|sum|count|total)$", "", name) for name in real}
    told = {re.sub(r"_total$", "", row[0].strip("`")) for row in pages.table("operators.md", "## Metrics")}
    assert told == base
    everywhere = {name for page in PAGES for name in re.findall(r"\bkeyturn_[a-z_]+", page.read_text())}
    modules = {"keyturn_cli", "keyturn_access", "keyturn_session"}
    assert everywhere - real - base - modules == set()


def _answers(request: httpx.Request) -> httpx.Response:
    """A gateway that has nothing, and refuses nothing but streams."""
    known = {"items": [], "events": [], "actor": "maria", "role": "admin", "token": "kt_new"}
    status = 404 if request.url.path.endswith("/events") else 200
    return httpx.Response(status, json=known)


def _typed(line: str, file: Path) -> Result:
    save(Login(url="https://shop.example", token="kt_known"), file)
    session = Session(file=file, transport=httpx.MockTransport(_answers))
    return CliRunner().invoke(app, shlex.split(line)[1:], obj=session, input="kt_token\n")


def _keyturn_lines() -> Iterator[tuple[Block, str]]:
    for block in pages.all_blocks("sh"):
        for line in block.commands():
            for part in re.split(r"\s(?:\||&&)\s", line):
                if part.split()[0].endswith("keyturn") and "/" not in part.split()[0].removesuffix("keyturn"):
                    yield block, part


def test_every_keyturn_command_in_a_block_can_be_typed(tmp_path: Path) -> None:
    lines = list(_keyturn_lines())
    assert lines
    for block, line in lines:
        result = _typed(line, tmp_path / "login.json")
        assert result.exit_code in {0, 1}, f"{block.name}: {line}: {result.output}"


def test_the_operators_page_lists_exactly_the_commands_and_options_that_there_are() -> None:
    rows = pages.table("operators.md", "## The `keyturn` command")
    told = {pages.codes(row[0])[0]: set(pages.codes(row[1])) for row in rows}
    assert told == {name: _options(command) for name, command in _commands(get_command(app))}


def _options(command: TyperCommand) -> set[str]:
    return {name for p in command.params if isinstance(p, TyperOption) for name in p.opts} - {"--help"}


def _commands(command: Any, before: str = "") -> Iterator[tuple[str, TyperCommand]]:
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from _commands(inner, f"{before} {name}".strip())
    else:
        yield before, command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_event_that_a_page_names_exists(page: Path) -> None:
    named = {name for text in pages.codes(pages.prose(page)) for name in re.findall(r"\b[a-z_]+\.[a-z_]+\.v1\b", text)}
    assert named - set(BY_WIRE) == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", pages.prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            assert anchor in set(_anchors(file)), target


def _anchors(page: Path) -> Iterator[str]:
    for heading in re.findall(r"^#+ (.+)$", pages.prose(page), re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    texts = [text for page in PAGES for text in [*pages.codes(pages.prose(page)), *_shell(page)]]
    named = {name for text in texts for name in re.findall(r"(?:^|\s)make ([a-z-]+)", text)}
    assert named
    assert named - targets == set()


def test_every_module_that_a_page_runs_exists() -> None:
    texts = [text for page in PAGES for text in [*pages.codes(pages.prose(page)), *_shell(page)]]
    named = {name for text in texts for name in re.findall(r"python -m ([\w.]+)", text)}
    assert named
    assert {name for name in named if importlib.util.find_spec(name) is None} == set()


def test_every_file_that_a_page_points_at_exists() -> None:
    """Paths in backticks; those without a folder may lie in any."""
    for page in PAGES:
        for text in pages.codes(pages.prose(page)):
            if re.fullmatch(r"(?:services|libs|deploy|tests|docs|blueprints)/[\w./-]+", text):
                assert (ROOT / text).exists(), f"{page.relative_to(ROOT)}: {text}"


def test_every_address_that_a_page_asks_for_is_one_of_the_gateways() -> None:
    paths = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    routes = [(method, re.sub(r"{\w+}", "[^/]+", route.path)) for route in paths for method in route.methods or ()]
    asked = [(block.name, line) for block in pages.all_blocks("sh") for line in block.commands() if "/api/" in line]
    for name, line in asked:
        method = "POST" if "--json" in line else "GET"
        path = re.search(r"(/api/[^\s?'\"]+)", line)
        assert path
        assert any(m == method and re.fullmatch(route, path[1]) for m, route in routes), f"{name}: {line}"


def _shell(page: Path) -> list[str]:
    return [block.text for block in pages.blocks(page) if block.language == "sh"]
