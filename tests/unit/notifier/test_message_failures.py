"""Which failures of mails alert the operator, and how the metrics name them."""

import pytest

from notifier.domain import AUDIENCE, CODE_CLASSES, alerts, code_class


@pytest.mark.parametrize(
    ("code", "named"),
    [("550 5.1.1", "5xx"), ("554", "5xx"), ("gave_up", "gave_up"), ("bad_address", "bad_address"), ("x", "other")],
)
def test_a_code_becomes_one_of_few_labels(code: str, named: str) -> None:
    assert code_class(code) == named
    assert named in CODE_CLASSES


@pytest.mark.parametrize("code", ["550 5.1.1", "gave_up", "bad_address"])
def test_a_customers_mail_alerts_and_an_operators_never_does(code: str) -> None:
    for template, audience in AUDIENCE.items():
        assert alerts(template, code) is (audience == "customer" and template != "sign_in")


@pytest.mark.parametrize("code", ["superseded", "link_expired"])
def test_a_dead_link_alerts_nobody(code: str) -> None:
    assert not alerts("setup", code)
