"""Who buys may stand outside or in `customer`, in both spellings."""

from typing import Any

import pytest

from gateway.api.shapes import CheckoutRequest

WHO = {"company": "Firma", "country": "at", "tax_id": "ATU 1"}


@pytest.mark.parametrize(
    "order",
    [
        {"company": "Firma", "country": "at", "taxId": "ATU 1"},
        WHO,
        {"customer": {"company": "Firma", "country": "at", "taxId": "ATU 1"}},
        {"customer": WHO, "company": "", "country": ""},
        {"customer": {"company": "Other", "country": "de", "tax_id": "no"}, **WHO},
        {"customer": {"taxId": "no"}, "taxId": "ATU 1", "company": "Firma", "country": "at"},
    ],
)
def test_company_country_and_tax_id(order: dict[str, Any]) -> None:
    found = CheckoutRequest.model_validate({"email": "ada@example.com", **order})
    assert found.model_dump(include=set(WHO)) == WHO


def test_nothing_of_it_is_needed() -> None:
    found = CheckoutRequest.model_validate({"customer": {"email": "ada@example.com"}})
    assert (found.company, found.country, found.tax_id) == (None, None, None)
