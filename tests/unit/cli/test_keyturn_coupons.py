"""What the `keyturn` command does with coupons."""

import json
from typing import Any

import pytest

from support.operator_api import Server, problem

WHY = ("--reason", "autumn sale")
WELCOME = {"code": "WELCOME10", "active": True, "percent": 10, "amount": None, "redeemed": 3, "limitPerCustomer": 1}


def test_coupons_are_listed_and_shown_with_who_redeemed_them(server: Server) -> None:
    server.answers["GET /api/coupons"] = {"items": [WELCOME], "nextCursor": "WELCOME10"}
    listed = server.run("coupons", "list", "--limit", "1")
    assert all(text in listed.stdout for text in ("WELCOME10", "10", "3"))
    redemption = {"purchaseId": "018f", "status": "paid", "discount": 490}
    server.answers["GET /api/coupons/WELCOME10"] = WELCOME | {"redemptions": [redemption]}
    assert "018f" in server.run("coupons", "show", "WELCOME10").stdout
    server.answers["GET /api/coupons/WELCOME10/redemptions"] = {"items": [redemption], "nextCursor": None}
    assert "018f" in server.run("coupons", "redemptions", "WELCOME10", "--cursor", "c", "-n", "9").stdout
    assert server.asked[-1].url.query == b"limit=9&cursor=c"


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["--percent", "10"], {"percent": 10, "duration": "first"}),
        (["--percent", "10", "--duration", "3"], {"percent": 10, "duration": 3}),
        (
            ["--amount", "EUR=500", "--amount", "USD=600", "--duration", "always"],
            {"amount": {"EUR": 500, "USD": 600}, "duration": "always"},
        ),
        (
            ["--percent", "5", "--product", "shop", "--currency", "EUR", "--in-total", "9", "--per-customer", "1"],
            {"percent": 5, "duration": "first", "products": ["shop"], "currencies": ["EUR"], "limit": 9}
            | {"limitPerCustomer": 1},
        ),
        (
            ["--percent", "5", "--from", "2026-12-01T00:00:00Z", "--until", "2027-01-01T00:00:00Z"],
            {"percent": 5, "duration": "first", "from": "2026-12-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"},
        ),
    ],
)
def test_a_coupon_is_made_with_its_terms_and_a_reason(server: Server, words: list[str], body: dict[str, Any]) -> None:
    server.answers["POST /api/coupons"] = WELCOME
    made = server.run("coupons", "create", "AUTUMN", *words, *WHY)
    assert made.exit_code == 0, made.output
    assert server.sent == {"code": "AUTUMN", "reason": "autumn sale"} | body
    server.answers["POST /api/coupons"] = problem(409, "coupon_exists")
    assert server.run("coupons", "create", "AUTUMN", *words, *WHY).exit_code == 1


@pytest.mark.parametrize("amount", ["500", "EUR", "EUR=5.00", "EUR=1=2"])
def test_an_amount_has_a_currency(server: Server, amount: str) -> None:
    assert server.run("coupons", "create", "AUTUMN", "--amount", amount, *WHY).exit_code == 2
    assert server.asked == []


def test_a_coupon_is_ended_after_a_question(server: Server) -> None:
    server.answers["POST /api/coupons/AUTUMN/end"] = WELCOME | {"active": False}
    assert server.run("coupons", "end", "AUTUMN", *WHY, typed="n\n").exit_code == 1
    assert server.asked == []
    ended = server.run("--json", "coupons", "end", "AUTUMN", *WHY, "--yes")
    assert json.loads(ended.stdout)["active"] is False
    assert server.sent == {"reason": "autumn sale"}
