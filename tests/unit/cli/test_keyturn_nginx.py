"""What the `keyturn` command does with nginx."""

from support.operator_api import Server, problem

DONE = {"version": "f" * 64, "sites": 3, "changed": False, "running": True, "refused": [], "diff": []}


def test_the_configuration_is_written_anew_with_a_reason_or_shown(server: Server) -> None:
    server.answers["POST /api/nginx/regenerate"] = DONE
    done = server.run("nginx", "regenerate", "--reason", "edited by hand")
    assert (done.exit_code, "stays as it is: 3 sites" in done.stdout) == (0, True)
    assert server.sent == {"reason": "edited by hand", "dryRun": False}
    lines = ["--- nginx.conf", "-  a.example evil;", "+  a.example s_1;"]
    server.answers["POST /api/nginx/regenerate"] = DONE | {"changed": True, "diff": lines}
    shown = server.run("nginx", "regenerate", "--dry-run", "--reason", "to see")
    assert server.sent["dryRun"] is True
    assert all(line in shown.stdout for line in [*lines, "nginx.conf changes: 3 sites"])


def test_what_is_left_out_or_does_not_run_is_said(server: Server) -> None:
    refused = [{"hostname": "a.example", "words": "host not found"}]
    server.answers["POST /api/nginx/regenerate"] = DONE | {"running": False, "refused": refused}
    told = server.run("nginx", "regenerate", "--reason", "to see")
    assert "a.example is left out, nginx refuses it: host not found" in told.stderr
    assert "nginx does not run" in told.stderr
    server.answers["POST /api/nginx/regenerate"] = problem(503, "nginx_refuses")
    assert server.run("nginx", "regenerate", "--reason", "again").exit_code == 1
