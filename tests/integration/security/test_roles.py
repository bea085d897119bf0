"""Every route of every service is asked in every role: what `docs/routes.md` says is what happens."""

from pathlib import Path
from uuid import uuid4

import pytest

from keyturn.internal import ROLES, Role
from sandbox.routes import ANYBODY, Row, rows
from support.house import NAMES, House, filled

pytestmark = pytest.mark.servers
PAGE = Path(__file__).parents[3] / "docs" / "routes.md"
ENDLESS = "/api/journeys/{purchase_id}/events"  # who may watch it: test_gateway_live, test_enumeration
PROBES = {"/healthz", "/readyz", "/metrics", "/openapi.json"}


def documented(service: str) -> set[Row]:
    section = PAGE.read_text().partition(f"## {service}\n")[2].partition("\n## ")[0]
    cells = [line.split(" | ") for line in section.splitlines() if line.startswith("| ") and "`/" in line]
    return {Row(method.removeprefix("| "), path.strip("`"), role.removesuffix(" |")) for method, path, role in cells}


@pytest.mark.parametrize("service", NAMES)
async def test_every_route_is_documented_with_the_role_that_it_demands(home: House, service: str) -> None:
    found = {row for row in rows(home.services[service].app.routes) if row.path not in PROBES}
    assert found == documented(service)


@pytest.mark.parametrize("service", NAMES)
async def test_every_route_lets_in_its_role_and_those_above_and_nobody_else(home: House, service: str) -> None:
    for row in sorted(documented(service)):
        if row.path == ENDLESS:
            continue
        for role in (None, *ROLES):
            status = await asked(home, service, row, role)
            assert verdict(status) == expected(service, row, role), (row, role, status)


def expected(service: str, row: Row, role: Role | None) -> str:
    if row.role == ANYBODY:
        return "let in"
    if service == "gateway" and row.path.startswith("/api"):  # customers by a session, operators by a token
        if "customer" in (row.role, role):
            return "let in" if row.role == role else "unknown"
        if role not in ROLES[2:]:
            return "unknown"
    if role is None:
        return "unknown"
    return "let in" if ROLES.index(role) >= ROLES.index(row.role) else "refused"


def verdict(status: int) -> str:
    return {401: "unknown", 403: "refused"}.get(status, "let in")


async def asked(home: House, service: str, row: Row, role: Role | None) -> int:
    path = filled(row.path)
    headers = home.proof(service, path, role) if role else {}
    if service == "gateway" and role == "customer" and not path.startswith("/internal"):
        headers = await home.signed_in(uuid4())
    return (await home.client.request(row.method, f"http://{service}{path}", headers=headers)).status_code
