"""What the `keyturn` command does with money, links and leftovers."""

import json
from typing import Any

import pytest

from support.operator_api import INSTALL, Server, problem

PURCHASE, PAYMENT = INSTALL, "018f0000-0000-7000-8000-000000000009"
WHY = ("--reason", "agreed by phone")
SAID = {"reason": "agreed by phone"}


def test_payments_in_review_are_listed_and_surplus_ones_on_demand(server: Server) -> None:
    page = {"items": [{"id": PAYMENT, "state": "review", "reviewReason": "amount"}], "nextCursor": None}
    server.answers["GET /api/payments"] = page
    shown = server.run("payments", "list")
    assert (shown.exit_code, PAYMENT in shown.stdout, "amount" in shown.stdout) == (0, True, True)
    assert server.asked[-1].url.params["state"] == "review"
    server.run("payments", "list", "--state", "surplus")
    assert server.asked[-1].url.params["state"] == "surplus"
    assert json.loads(server.run("--json", "payments", "list").stdout) == page


@pytest.mark.parametrize(
    ("words", "path", "body"),
    [
        (["payments", "decide", PAYMENT, "match"], f"payments/{PAYMENT}/decide", {"decision": "match"}),
        (
            ["payments", "decide", PAYMENT, "match", "--purchase", PURCHASE],
            f"payments/{PAYMENT}/decide",
            {"decision": "match", "purchaseId": PURCHASE},
        ),
        (["payments", "decide", PAYMENT, "foreign"], f"payments/{PAYMENT}/decide", {"decision": "foreign"}),
        (["payments", "refund", PAYMENT], f"payments/{PAYMENT}/refund", {}),
        (["subscriptions", "cancel", PURCHASE], f"subscriptions/{PURCHASE}/cancel", {"when": "period_end"}),
        (["subscriptions", "cancel", PURCHASE, "--now"], f"subscriptions/{PURCHASE}/cancel", {"when": "now"}),
        (["purchases", "mark-paid", PURCHASE], f"purchases/{PURCHASE}/mark-paid", {}),
        (
            ["purchases", "mark-paid", PURCHASE, "--amount", "0", "--reference", "SEPA 12"],
            f"purchases/{PURCHASE}/mark-paid",
            {"amount": 0, "reference": "SEPA 12"},
        ),
        (["purchases", "refund", PURCHASE], f"purchases/{PURCHASE}/refund", {}),
        (["purchases", "refund", PURCHASE, "--amount", "1000"], f"purchases/{PURCHASE}/refund", {"amount": 1000}),
        (
            ["purchases", "refund", PURCHASE, "--amount", "0", "--credit", "300"],
            f"purchases/{PURCHASE}/refund",
            {"amount": 0, "credit": 300},
        ),
        (
            ["subscriptions", "call-off-plan", PURCHASE],
            f"subscriptions/{PURCHASE}/plan/call-off",
            {},
        ),
        (
            ["credit", "pay-out", "ada@example.com", "--currency", "EUR", "--reference", "SEPA 12"],
            "credits/pay-out",
            {"email": "ada@example.com", "currency": "EUR", "reference": "SEPA 12"},
        ),
        (
            ["credit", "forfeit", "ada@example.com", "--currency", "EUR", "--amount", "5", "--key", "k"],
            "credits/forfeit",
            {"email": "ada@example.com", "currency": "EUR", "amount": 5, "key": "k"},
        ),
    ],
)
def test_what_moves_money_asks_first_and_says_why(
    server: Server, words: list[str], path: str, body: dict[str, Any]
) -> None:
    server.answers[f"POST /api/{path}"] = {"status": "requested"}
    refused = server.run(*words, *WHY, typed="n\n")
    assert (refused.exit_code, server.asked) == (1, [])
    assert server.run(*words, *WHY, "--yes").exit_code == 0
    assert server.sent == body | SAID
    assert json.loads(server.run("--json", *words, *WHY, "--yes").stdout) == {"status": "requested"}
    server.answers[f"POST /api/{path}"] = problem(403, "forbidden")
    assert server.run(*words, *WHY, "--yes").exit_code == 4


def test_no_payment_is_decided_in_another_way_nor_nothing_refunded(server: Server) -> None:
    assert server.run("payments", "decide", PAYMENT, "perhaps", *WHY, "--yes").exit_code == 2
    assert server.run("payments", "decide", PAYMENT, "foreign", "--purchase", PURCHASE, *WHY, "--yes").exit_code == 2
    assert server.run("purchases", "refund", PURCHASE, "--amount", "0", *WHY, "--yes").exit_code == 2
    assert server.asked == []


def test_subscriptions_are_listed_and_kept(server: Server) -> None:
    page = {"items": [{"purchaseId": PURCHASE, "status": "past_due", "cycle": "monthly"}], "nextCursor": None}
    server.answers["GET /api/subscriptions"] = page
    assert "past_due" in server.run("subscriptions", "list", "--status", "past_due").stdout
    assert server.asked[-1].url.params["status"] == "past_due"
    for act, path in (("keep", "keep"), ("pause", "pause"), ("resume", "resume"), ("push-plan", "plan/push")):
        server.answers[f"POST /api/subscriptions/{PURCHASE}/{path}"] = {"status": "active"}
        assert server.run("subscriptions", act, PURCHASE, *WHY).exit_code == 0
        assert server.sent == SAID


def test_a_plan_is_quoted_before_it_is_changed(server: Server) -> None:
    path = f"POST /api/subscriptions/{PURCHASE}/plan"
    money = {"charge": 900, "credit": 0, "currency": "EUR"}
    server.answers[f"{path}/quote"] = {"quoteId": "q1", "fromPlan": "small", "plan": "large"} | money
    server.answers[path] = {"status": "open"}
    words = ["subscriptions", "change-plan", PURCHASE, "large", *WHY]
    refused = server.run(*words, typed="n\n")
    assert (refused.exit_code, len(server.asked)) == (1, 1)
    assert "charge 900, credit 0 EUR" in refused.stdout
    assert server.run(*words, "--yes").exit_code == 0
    assert server.sent == {"quoteId": "q1"} | SAID


def test_a_new_setup_link_is_sent_with_a_reason(server: Server) -> None:
    server.answers[f"POST /api/installs/{INSTALL}/reissue"] = {"number": 2}
    assert server.run("installs", "reissue", INSTALL, *WHY).exit_code == 0
    assert server.sent == SAID


def test_what_could_not_be_removed_is_listed(server: Server) -> None:
    server.answers["GET /api/orphans"] = {"items": [{"installId": INSTALL, "name": "container", "kind": "docker"}]}
    assert "container" in server.run("installs", "orphans").stdout


def test_certificates_are_listed_and_one_is_ordered_anew_with_a_reason(server: Server) -> None:
    one = {"id": INSTALL, "names": ["shop.example.com"], "status": "issued", "expiresAt": "2027-03-01T00:00:00+00:00"}
    server.answers["GET /api/certificates"] = {"items": [one]}
    assert "shop.example.com" in server.run("certificates", "list").stdout
    server.answers[f"POST /api/certificates/{INSTALL}/renew"] = one
    assert server.run("certificates", "renew", INSTALL, *WHY).exit_code == 0
    assert server.sent == SAID


def test_numbers_are_shown_for_as_many_days_as_asked(server: Server) -> None:
    server.answers["GET /api/stats"] = {"days": 7, "purchases": {"paid": 3}, "installs": {"active": 2}}
    shown = server.run("stats", "--days", "7").stdout
    assert server.asked[-1].url.params["days"] == "7"
    assert all(text in shown for text in ("paid", "3", "active", "2"))
