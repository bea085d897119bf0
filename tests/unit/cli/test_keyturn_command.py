"""The `keyturn` command against a stand-in of the operator API."""

import json
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest

from keyturn_cli.output import safe
from support.operator_api import INSTALL, TOKEN, Server, problem


def test_login_keeps_the_token_readable_to_its_owner_alone(server: Server, tmp_path: Path) -> None:
    server.file.unlink()
    (given := tmp_path / "token").write_text(TOKEN + "\n")
    server.answers["GET /api/me"] = {"actor": "ada", "role": "admin"}
    done = server.run("login", "--url", "https://shop.example/", "--token-file", str(given))
    assert (done.exit_code, done.stdout) == (0, "logged in to https://shop.example as ada (admin)\n")
    assert stat.S_IMODE(server.file.stat().st_mode) == 0o600
    assert json.loads(server.file.read_text()) == {"url": "https://shop.example", "token": TOKEN}


@pytest.mark.parametrize("arguments", [("--token-file", "-"), ()])
def test_login_reads_the_token_from_standard_input_or_asks(server: Server, arguments: tuple[str, ...]) -> None:
    server.answers["GET /api/me"] = {"actor": "ada", "role": "admin"}
    done = server.run("login", "--url", "http://127.0.0.1:8000", *arguments, typed=TOKEN + "\n")
    assert done.exit_code == 0
    assert TOKEN not in done.output


def test_login_refuses_to_send_a_token_in_the_clear(server: Server) -> None:
    done = server.run("login", "--url", "http://shop.example", typed=TOKEN)
    assert done.exit_code == 2
    assert server.asked == []


def test_login_with_a_token_that_is_not_valid_keeps_what_was(server: Server) -> None:
    before = server.file.read_text()
    server.answers["GET /api/me"] = problem(401, "unauthenticated")
    done = server.run("login", "--url", "https://other.example", "--token-file", "-", typed=TOKEN)
    assert done.exit_code == 4
    assert server.file.read_text() == before


def test_list_is_a_table_for_people_and_json_for_programs(server: Server) -> None:
    page = {"items": [{"id": INSTALL, "status": "active", "domain": "ada.example"}], "nextCursor": "c2"}
    server.answers["GET /api/installs"] = page
    table = server.run("installs", "list", "--status", "active")
    assert table.exit_code == 0
    assert INSTALL in table.stdout
    assert "--cursor c2" in table.stderr
    assert server.asked[-1].url.params["status"] == "active"
    assert json.loads(server.run("--json", "installs", "list").stdout) == page


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (problem(404, "install_not_found"), 1),
        (problem(503, "provisioner_unavailable"), 1),
        (problem(401, "unauthenticated"), 4),
        (problem(403, "forbidden"), 4),
        (None, 3),
        (lambda _: httpx.Response(200, text="<html>a proxy</html>"), 3),
    ],
)
def test_exit_code_says_what_went_wrong(server: Server, answer: Any, code: int) -> None:
    server.answers[f"GET /api/installs/{INSTALL}"] = answer
    assert server.run("installs", "show", INSTALL).exit_code == code


def test_wrong_usage_and_no_login_exit_2(server: Server) -> None:
    assert server.run("installs", "fly").exit_code == 2
    assert server.run("work", "retry", "--reason", "r").exit_code == 2
    assert server.run("work", "retry", "--reason", "r", "--all", "--cause", "c").exit_code == 2
    server.file.unlink()
    assert server.run("installs", "list").exit_code == 2


def test_problem_is_shown_readably_and_whole_as_json(server: Server) -> None:
    server.answers[f"GET /api/installs/{INSTALL}"] = problem(409, "job_running", step="container")
    shown = server.run("installs", "show", INSTALL).stderr
    assert "because job_running" in shown
    assert "job_running (409)" in shown
    assert "step: container" in shown
    assert json.loads(server.run("--json", "installs", "show", INSTALL).stderr)["code"] == "job_running"


@pytest.mark.parametrize("now", [False, True])
def test_what_destroys_asks_first(server: Server, *, now: bool) -> None:
    """The data of an install is kept for its time, unless --now."""
    server.answers[f"POST /api/installs/{INSTALL}/delete"] = {"status": "deleting", "deleteAfter": "2026-12-21"}
    typed = ["installs", "delete", INSTALL, "--reason", "closed", *(["--now"] if now else [])]
    refused = server.run(*typed, typed="n\n")
    assert (refused.exit_code, server.asked) == (1, [])
    assert ("cannot be taken back" in refused.output) is now
    assert server.run(*typed, typed="y\n").exit_code == 0
    assert server.run(*typed, "--yes").exit_code == 0
    assert server.sent == {"reason": "closed", "now": now}


@pytest.mark.parametrize("action", ["retry", "resume", "suspend"])
def test_action_on_an_install_sends_its_reason(server: Server, action: str) -> None:
    server.answers[f"POST /api/installs/{INSTALL}/{action}"] = {"success": True}
    done = server.run("installs", action, INSTALL, "--reason", "mended", *(["--yes"] if action == "suspend" else []))
    assert (done.exit_code, server.sent) == (0, {"reason": "mended"})


def test_work_is_chosen_by_ids_by_cause_or_all(server: Server) -> None:
    server.answers["POST /api/work/retry"] = {"count": 2}
    server.run("work", "retry", "billing:a", "notifier:b", "--reason", "r")
    assert server.sent == {"ids": ["billing:a", "notifier:b"], "reason": "r"}
    server.run("work", "retry", "--cause", "smtp", "--service", "notifier", "--reason", "r")
    assert server.sent == {"cause": "smtp", "service": "notifier", "reason": "r"}
    server.run("work", "retry", "--all", "--reason", "r")
    assert server.sent == {"all": True, "reason": "r"}


def test_one_webhook_or_all_unreadable_ones_are_read_again(server: Server) -> None:
    server.answers["POST /api/webhooks/reprocess"] = {"count": 2}
    server.answers["POST /api/webhooks/w1/reprocess"] = {"id": "w1"}
    assert server.run("webhooks", "reprocess", "w1", "--reason", "r").exit_code == 0
    assert server.run("webhooks", "reprocess", "--all", "--reason", "r").exit_code == 0
    assert server.run("webhooks", "reprocess", "--reason", "r").exit_code == 2


def test_service_that_is_away_is_named(server: Server) -> None:
    server.answers["GET /api/work/causes"] = {
        "items": [{"service": "billing", "cause": "c"}],
        "unavailable": ["notifier"],
    }
    assert "notifier does not answer" in server.run("work", "causes").stderr


def test_data_cannot_steer_the_terminal(server: Server) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe[bold red]x[/]"
    server.answers["GET /api/audit"] = {"items": [{"actor": evil, "reason": evil}]}
    for arguments in (("audit",), ("--json", "audit")):
        shown = server.run(*arguments).stdout
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(shown)
    server.answers["GET /api/audit"] = problem(500, "x", hint=evil)
    assert "\x1b" not in server.run("audit").stderr


@pytest.mark.parametrize(("text", "shown"), [("a\nb", "a\\x0ab"), ("é ü 漢", "é ü 漢"), ("\u2028", "\\u2028")])
def test_control_characters_become_visible(text: str, shown: str) -> None:
    assert safe(text) == shown


def told(number: int, name: str) -> str:
    data = {"type": name, "publisher": "billing", "time": f"2026-11-20T12:00:0{number}+00:00", "text": "4900 USD"}
    return f"id: {number}\nevent: journey\ndata: {json.dumps(data)}\n\n"


def test_journey_is_followed_across_a_lost_connection(server: Server) -> None:
    parts = iter([told(1, "purchase.opened.v1"), ": still here\n\n" + told(2, "purchase.paid.v1")])

    def stream(_: httpx.Request) -> httpx.Response:
        text = next(parts, None)
        if text is None:
            raise httpx.ConnectError("gone")
        return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})

    server.answers[f"GET /api/journeys/{INSTALL}/events"] = stream
    done = server.run("journey", INSTALL, "--follow")
    assert done.exit_code == 3
    first, second = done.stdout.splitlines()
    assert "purchase.opened.v1" in first
    assert second.split() == ["12:00:02.000", "+1.000s", "billing", "purchase.paid.v1", "4900", "USD"]
    assert [request.headers.get("last-event-id") for request in server.asked[:3]] == [None, "1", "2"]


def test_journey_is_shown_with_its_events(server: Server) -> None:
    event = {"type": "purchase.paid.v1", "publisher": "billing", "time": "2026-11-20T12:00:00+00:00", "text": "49"}
    server.answers[f"GET /api/journeys/{INSTALL}"] = {"status": "active", "steps": [{"name": "app"}], "events": [event]}
    shown = server.run("journey", INSTALL).stdout
    assert "active" in shown
    assert "purchase.paid.v1" in shown


def test_new_token_is_printed_alone_so_that_it_can_be_piped(server: Server) -> None:
    server.answers["POST /api/tokens"] = {"id": "t", "token": "kt_new", "name": "ci", "role": "viewer"}
    done = server.run("tokens", "create", "ci", "--reason", "build")
    assert done.stdout == "kt_new\n"
    assert server.sent == {"name": "ci", "role": "viewer", "reason": "build"}


def test_token_is_no_argument_of_any_command(server: Server) -> None:
    assert "--token " not in server.run("login", "--help").stdout
