"""Names that look like others: each is held to its own field's grammar, and none becomes another on its way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.api.shapes import CheckoutRequest
from provisioner import names

OURS = "ours.example"
FOREIGN = [
    "\u212aeys", "\u017fhop", "\u0430dmin", "adm\u0131n", "\uff41dmin", "shop\u200b", "shop\u00ad", "\u202eshop", "shop\u0301",
    "\u2488shop", "sh\u2024op", "shop\u3002", "\u2010shop", "stra\u00dfe", "\u0130shop",
]  # fmt: skip
PLAIN = ["shop..", "shop-", "ad--min", "xn--80ak6aa92e", "xn--shop-", "sh op", "sh_op", "janes.", ".shop", "sh.op"]


def ordered(**fields: str) -> CheckoutRequest:
    return CheckoutRequest.model_validate({"email": "ada@example.org", **fields})


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_letters_are_in_no_name_whoever_checks_it(name: str) -> None:
    for fields in ({"subdomain": name}, {"domain": f"{name}.example"}, {"domain": f"shop.{name}"}):
        with pytest.raises(ValidationError):
            ordered(**fields)
    assert names.objection("subdomain", names.normal(name), OURS)
    assert names.objection("domain", names.normal(f"{name}.example"), OURS)


@pytest.mark.parametrize("name", PLAIN)
def test_a_name_with_tricks_in_plain_letters_is_no_subdomain(name: str) -> None:
    right = names.objection("subdomain", names.normal(name), OURS) is None
    assert right is (name == "janes.")  # the final dot of a whole name is dropped


@pytest.mark.parametrize(
    "name", ["xn--paypal-.com", "xn--.com", "xn--999999999.com", "ab--cd.com", "shop.com..", "..shop.com", "shop.xn--com-"]
)  # fmt: skip
def test_an_encoded_name_that_hides_another_is_no_domain(name: str) -> None:
    assert names.objection("domain", names.normal(name), OURS)


@pytest.mark.parametrize("name", ["xn--bcher-kva.example", "XN--BCHER-KVA.example", "shop.com.", "notours.example"])
def test_an_honest_domain_stays_one(name: str) -> None:
    assert names.objection("domain", names.normal(name), OURS) is None


@pytest.mark.parametrize("name", ["ours.example", "victim.ours.example", "a.b.OURS.example", "victim.ours.example."])
def test_nobody_takes_a_neighbours_address_as_a_domain_of_their_own(name: str) -> None:
    assert names.objection("domain", names.normal(name), "Ours.example")


@given(name=st.text(max_size=80))
def test_what_may_be_chosen_is_what_dns_takes_and_stays_as_it_was_typed(name: str) -> None:
    normal = names.normal(name)
    if names.objection("subdomain", normal, OURS) is None:
        assert normal == name.strip().lower().removesuffix(".")
        assert normal.isascii()
