"""Two people whose addresses look alike stay two people."""

import pytest

from billing.buying import one_spelling, valid_email


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("groß@example.com", "gross@example.com"),
        ("ada@straße.example", "ada@strasse.example"),
        ("\u017fam@example.com", "sam@example.com"),  # long s
        ("\u0130da@example.com", "ida@example.com"),
        ("\u0430da@example.com", "ada@example.com"),  # the first is Cyrillic
    ],
)
def test_no_folding_makes_one_customer_of_two(one: str, other: str) -> None:
    assert one_spelling(valid_email(one)) != one_spelling(valid_email(other))
