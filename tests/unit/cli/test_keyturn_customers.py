"""What the `keyturn` command does with customers."""

import json

from support.operator_api import Server, problem

ADA = {"id": "018f", "email": "ada@example.com", "name": "Ada", "createdAt": "2026-12-01T10:00:00+00:00"}


def test_customers_are_listed_found_and_shown(server: Server) -> None:
    server.answers["GET /api/customers"] = {"items": [ADA], "nextCursor": "more"}
    listed = server.run("customers", "list", "--email", "ada@example.com", "--limit", "1")
    assert "ada@example.com" in listed.stdout
    assert server.asked[-1].url.query == b"email=ada%40example.com&limit=1"
    bought = {"id": "0190", "status": "paid", "amount": 4900}
    server.answers["GET /api/customers/018f"] = ADA | {"purchases": [bought], "payments": []}
    assert "0190" in server.run("customers", "show", "018f").stdout


def test_who_wants_to_be_forgotten_is_listed_and_forgotten_after_a_question(server: Server) -> None:
    server.answers["GET /api/customers"] = {"items": [ADA], "nextCursor": None}
    server.run("customers", "list", "--to-erase")
    assert server.asked[-1].url.query == b"erasure=wanted&limit=50"
    server.answers["POST /api/customers/018f/erase"] = {"complete": False}
    words = ("customers", "erase", "018f", "--reason", "asked for it")
    assert server.run(*words, typed="n\n").exit_code == 1
    assert server.asked[-1].method == "GET"
    assert server.run(*words, "--end-everything", "--yes").exit_code == 0
    assert server.sent == {"reason": "asked for it", "endEverything": True}
    standing = [{"purchaseId": "0190", "what": "running"}]
    server.answers["POST /api/customers/018f/erase"] = problem(409, "customer_not_done", standing=standing)
    refused = server.run(*words, "--yes")
    assert (refused.exit_code, "0190" in refused.stderr) == (1, True)


def test_what_is_kept_is_exported_as_json(server: Server) -> None:
    server.answers["GET /api/customers/018f/export"] = {"customer": ADA, "purchases": []}
    assert json.loads(server.run("customers", "export", "018f").stdout)["customer"] == ADA
