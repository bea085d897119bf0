"""What the `keyturn` command does with servers."""

import json

import pytest

from support.operator_api import Server, problem

WHY = ("--reason", "a new host")
MAIN = {"name": "main", "target": "docker", "enabled": True, "slots": 100, "usedSlots": 3, "labels": {"region": "eu"}}


def test_servers_are_listed_with_what_is_taken(server: Server) -> None:
    server.answers["GET /api/servers"] = {"items": [MAIN], "nextCursor": None}
    assert all(text in server.run("servers", "list").stdout for text in ("main", "docker", "100", "3"))


def test_a_server_is_made_known_with_what_it_has_room_for(server: Server) -> None:
    server.answers["POST /api/servers/main"] = MAIN
    words = ["--address", "unix:///var/run/docker.sock", "--memory", "64G", "--cpus", "15.5", "--slots", "100"]
    made = server.run("servers", "set", "main", *words, "--label", "region=eu", *WHY)
    assert made.exit_code == 0, made.output
    assert server.sent == {
        "address": "unix:///var/run/docker.sock",
        "memory": 64 * 1024**3,
        "millicpus": 15500,
        "slots": 100,
        "labels": {"region": "eu"},
        "reason": "a new host",
    }


def test_what_is_not_named_is_not_changed(server: Server) -> None:
    server.answers["POST /api/servers/main"] = MAIN | {"enabled": False}
    changed = server.run("--json", "servers", "set", "main", "--disable", *WHY)
    assert json.loads(changed.stdout)["enabled"] is False
    assert server.sent == {"enabled": False, "reason": "a new host"}


@pytest.mark.parametrize("words", [["--memory", "64"], ["--memory", "lots"], ["--label", "eu"], ["--label", "a=b=c"]])
def test_amounts_have_a_unit_and_labels_a_name(server: Server, words: list[str]) -> None:
    assert server.run("servers", "set", "main", *words, *WHY).exit_code == 2
    assert server.asked == []


def test_a_server_in_use_is_not_removed(server: Server) -> None:
    server.answers["POST /api/servers/main/remove"] = problem(409, "server_in_use")
    assert server.run("servers", "remove", "main", *WHY, "--yes").exit_code == 1
    assert server.run("servers", "remove", "main", *WHY, typed="n\n").exit_code == 1
    assert len(server.asked) == 1
