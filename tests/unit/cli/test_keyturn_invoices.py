"""What the `keyturn` command does with invoices and credit."""

from pathlib import Path

import httpx

from support.operator_api import Server, problem

NUMBER = "INV-2026-000001"
INVOICE = {
    "number": NUMBER,
    "kind": "invoice",
    "status": "paid",
    "email": "ada@example.com",
    "total": 900,
    "currency": "EUR",
}


def test_invoices_are_listed_and_shown(server: Server) -> None:
    server.answers["GET /api/invoices"] = {"items": [INVOICE], "nextCursor": None}
    listed = server.run("invoices", "list", "--status", "paid", "--email", "ada@example.com")
    assert all(text in listed.stdout for text in (NUMBER, "900"))
    assert dict(server.asked[-1].url.params) == {"status": "paid", "email": "ada@example.com", "limit": "50"}
    server.answers[f"GET /api/invoices/{NUMBER}"] = INVOICE | {"lines": [{"text": "Small", "net": 756}]}
    assert "756" in server.run("invoices", "show", NUMBER).stdout


def test_a_pdf_is_written_to_a_file(server: Server, tmp_path: Path) -> None:
    answer = httpx.Response(200, content=b"%PDF-1", headers={"content-type": "application/pdf"})
    server.answers[f"GET /api/invoices/{NUMBER}.pdf"] = lambda _: answer
    file = tmp_path / "one.pdf"
    assert server.run("invoices", "pdf", NUMBER, "--output", str(file)).exit_code == 0
    assert file.read_bytes() == b"%PDF-1"


def test_a_refused_pdf_writes_nothing(server: Server, tmp_path: Path) -> None:
    server.answers[f"GET /api/invoices/{NUMBER}.pdf"] = problem(404, "invoice_unknown")
    file = tmp_path / "one.pdf"
    assert server.run("invoices", "pdf", NUMBER, "-o", str(file)).exit_code == 1
    assert not file.exists()


def test_credit_is_shown_and_given_after_a_question(server: Server) -> None:
    server.answers["GET /api/credits"] = {
        "balances": [{"currency": "EUR", "balance": 700}],
        "items": [{"at": "2026-12-01T00:00:00Z", "amount": 700, "currency": "EUR", "source": "operator k"}],
        "nextCursor": None,
    }
    assert "700" in server.run("credit", "show", "ada@example.com").stdout
    server.answers["POST /api/credits"] = {"balances": []}
    words = ("credit", "give", "ada@example.com", "--amount", "700", "--currency", "EUR", "--reason", "outage")
    assert server.run(*words, typed="n\n").exit_code == 1
    assert server.asked[-1].method == "GET"
    assert server.run(*words, "--key", "k1", "--yes").exit_code == 0
    assert server.sent == {
        "email": "ada@example.com",
        "amount": 700,
        "currency": "EUR",
        "reason": "outage",
        "key": "k1",
    }
