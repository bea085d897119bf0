"""`keyturn catalog`: what a file would change, and selling by it."""

import json
from pathlib import Path

import httpx
import pytest

from support.operator_api import Server

CHANGE = {"change": "replaced", "what": "price small monthly EUR", "before": {"amount": 900}, "after": {"amount": 950}}
FOUND = {"sold": None, "digest": "abc", "changes": [CHANGE], "unchanged": 3}
WHY = ("--reason", "spring prices")


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "spring.yaml").write_text("default: notes\n")
    return str(tmp_path / "spring.yaml")


def test_a_difference_is_shown(server: Server, file: str) -> None:
    server.answers["POST /api/catalog/diff"] = FOUND
    shown = server.run("catalog", "diff", file)
    assert (shown.exit_code, "small monthly EUR" in shown.stdout, '{"amount": 950}' in shown.stdout) == (0, True, True)
    assert server.sent == {"content": "default: notes\n", "file": "spring.yaml"}
    assert json.loads(server.run("--json", "catalog", "diff", file).stdout) == FOUND


def test_applying_shows_the_difference_asks_and_says_why(server: Server, file: str) -> None:
    server.answers |= {"POST /api/catalog/diff": FOUND, "POST /api/catalog": FOUND}
    refused = server.run("catalog", "apply", file, *WHY, typed="n\n")
    assert (refused.exit_code, "small monthly EUR" in refused.stdout) == (1, True)
    assert [asked.url.path for asked in server.asked] == ["/api/catalog/diff"]
    assert server.run("catalog", "apply", file, *WHY, typed="y\n").exit_code == 0
    assert server.sent == {"content": "default: notes\n", "file": "spring.yaml", "reason": "spring prices"}


def test_applying_with_yes_asks_nothing(server: Server, file: str) -> None:
    server.answers["POST /api/catalog"] = FOUND
    assert "1 changed, 3 as before" in server.run("catalog", "apply", file, *WHY, "--yes").stdout
    assert json.loads(server.run("--json", "catalog", "apply", file, *WHY, "--yes").stdout) == FOUND


def test_what_is_sold_already_is_not_applied_again(server: Server, file: str) -> None:
    server.answers["POST /api/catalog/diff"] = FOUND | {"changes": []}
    done = server.run("catalog", "apply", file, *WHY)
    assert (done.exit_code, "nothing to change" in done.stdout) == (0, True)


def test_faults_are_told_with_file_and_line(server: Server, file: str) -> None:
    faults = [{"file": "spring.yaml", "line": line, "detail": f"wrong {line}"} for line in (3, 9)]
    document = {"status": 422, "code": "catalog_faulty", "detail": "spring.yaml:3: wrong 3", "faults": faults}
    server.answers["POST /api/catalog/diff"] = lambda _: httpx.Response(422, json=document)
    refused = server.run("catalog", "diff", file)
    assert (refused.exit_code, "spring.yaml:9: wrong 9" in refused.stderr) == (1, True)


def test_a_file_that_cannot_be_read_is_wrong_usage(server: Server, tmp_path: Path) -> None:
    assert server.run("catalog", "diff", str(tmp_path / "none.yaml")).exit_code == 2
    (tmp_path / "latin.yaml").write_bytes(b"caf\xe9")
    assert server.run("catalog", "diff", str(tmp_path / "latin.yaml")).exit_code == 2
    assert server.asked == []
