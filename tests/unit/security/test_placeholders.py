"""A password copied from an example protects nothing, on the broker either."""

import pytest

from keyturn.bus.setup import passwords_of

USERS = ("billing", "monitoring")
GOOD = {"BILLING_BUS_PASSWORD": "a", "MONITORING_BUS_PASSWORD": "b", "BUS_ADMIN_URL": "http://admin:c@rabbitmq:15672"}


def test_passwords_come_from_the_environment() -> None:
    assert passwords_of(GOOD, USERS) == {"billing": "a", "monitoring": "b"}


@pytest.mark.parametrize(
    "kept",
    [
        {"BILLING_BUS_PASSWORD": "change-me"},
        {"MONITORING_BUS_PASSWORD": "Change-Me"},
        {"BUS_ADMIN_URL": "http://admin:change-me@rabbitmq:15672"},
    ],
)
def test_a_placeholder_is_refused_by_its_name_alone(kept: dict[str, str]) -> None:
    with pytest.raises(SystemExit) as refused:
        passwords_of(GOOD | kept, USERS)
    assert next(iter(kept)) in str(refused.value)
    assert "change-me" not in str(refused.value).lower()
