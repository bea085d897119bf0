"""What the `keyturn` command does with customers."""

from support.operator_api import Server

ADA = {"id": "018f", "email": "ada@example.com", "name": "Ada", "createdAt": "2026-12-01T10:00:00+00:00"}


def test_customers_are_listed_found_and_shown(server: Server) -> None:
    server.answers["GET /api/customers"] = {"items": [ADA], "nextCursor": "more"}
    listed = server.run("customers", "list", "--email", "ada@example.com", "--limit", "1")
    assert "ada@example.com" in listed.stdout
    assert server.asked[-1].url.query == b"email=ada%40example.com&limit=1"
    bought = {"id": "0190", "status": "paid", "amount": 4900}
    server.answers["GET /api/customers/018f"] = ADA | {"purchases": [bought], "payments": []}
    assert "0190" in server.run("customers", "show", "018f").stdout
