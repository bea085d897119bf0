"""An order's fields: what is left empty is absent, and what no field takes is refused and never a failure of ours."""

import pytest
from pydantic import ValidationError

from gateway.api.shapes import CheckoutRequest

FIELDS = [
    "product", "planId", "billingCycle", "currency", "provider", "name", "locale", "timezone", "couponCode", "subdomain",
    "domain", "storeName", "successUrl", "cancelUrl",
]  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_left_empty_is_absent(field: str) -> None:
    order = CheckoutRequest.model_validate({"email": "ada@example.org", field: " "})
    assert order == CheckoutRequest(email="ada@example.org")


@pytest.mark.parametrize("field", [*FIELDS, "email"])
@pytest.mark.parametrize("value", ["a\0b", "a\r\nBcc: x@y.example", "a\x1b[2J", "\ud800", ["x"], {"x": 1}, 1e308])
def test_control_characters_and_other_types_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        CheckoutRequest.model_validate({"email": "ada@example.org", field: value})


@pytest.mark.parametrize("name", ["A", "../x", "$ref", "__class__", "a" * 41, "a b", "a\n"])
def test_a_parameters_name_is_a_plain_word(name: str) -> None:
    with pytest.raises(ValidationError):
        CheckoutRequest.model_validate({"email": "ada@example.org", "parameters": {name: "x"}})
