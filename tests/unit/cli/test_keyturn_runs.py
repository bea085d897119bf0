"""What the `keyturn` command does with scheduled runs."""

from support.operator_api import Server, problem

RUN = "018f0000-0000-7000-8000-000000000007"
DONE = {"id": RUN, "name": "billing", "status": "done", "dryRun": False, "changed": 3, "failed": 1}


def test_runs_are_listed_and_shown_with_what_they_did(server: Server) -> None:
    server.answers["GET /api/runs"] = {"items": [DONE], "nextCursor": None}
    listed = server.run("runs", "list", "--name", "billing")
    assert (server.asked[-1].url.params["name"], RUN in listed.stdout) == ("billing", True)
    server.answers["GET /api/runs/schedules"] = {"items": [{"name": "billing", "cron": "0 2 * * *"}]}
    assert "0 2 * * *" in server.run("runs", "schedules").stdout
    part = {"customer": "018f-1", "status": "failed", "did": [], "error": "stripe refuses the key"}
    server.answers[f"GET /api/runs/{RUN}"] = DONE | {"items": [part], "nextCursor": "018f-1"}
    assert "stripe refuses the key" in server.run("runs", "show", RUN).stdout


def test_a_run_is_begun_with_a_reason_and_dry_where_it_is_wanted(server: Server) -> None:
    server.answers["POST /api/runs"] = DONE
    begun = server.run("runs", "start", "billing", "--reason", "after the outage")
    assert (begun.exit_code, RUN in begun.stdout) == (0, True)
    assert server.sent == {"name": "billing", "dryRun": False, "reason": "after the outage"}
    server.run("runs", "start", "billing", "--dry-run", "--reason", "to see")
    assert server.sent == {"name": "billing", "dryRun": True, "reason": "to see"}
    server.answers["POST /api/runs"] = problem(409, "run_under_way")
    assert server.run("runs", "start", "billing", "--reason", "again").exit_code == 1
