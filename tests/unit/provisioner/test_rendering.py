"""Filling in names is substitution and nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner import rendering
from provisioner.errors import TemplateError
from provisioner.rendering import SECRET, Ref

HOSTILE = [
    "{random.key}",
    "{{7*7}}",
    "${IFS}",
    "$(reboot)",
    "`id`",
    "'; DROP TABLE installs; --",
    "../../etc/passwd",
    "a\nb: c",
    "{password}",
    "%s%n",
    '{"$ref": "random.key"}',
    "{0.__class__}",
]


def fill(tree: Any, **values: Any) -> Any:
    return rendering.render(tree, lambda ref: values[str(ref).replace(".", "_")])


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_is_put_in_as_it_is_and_never_read_again(value: str) -> None:
    tree = {"name": "Shop of {customer.name}!", "alone": "{customer.name}", "key": "{random.key}"}
    rendered = fill(tree, customer_name=value, random_key=SECRET)
    assert rendered["name"] == f"Shop of {value}!"
    assert rendered["alone"] == value
    stored = json.loads(json.dumps(rendered))
    assert list(rendering.secrets_in(stored)) == ["random.key"]
    revealed = rendering.reveal(stored, {"random.key": "s3cret"})
    assert revealed == {"name": f"Shop of {value}!", "alone": value, "key": "s3cret"}


@given(st.text(), st.text())
def test_any_two_values_come_out_side_by_side(one: str, two: str) -> None:
    assert fill("{a.x}-{b.x}", a_x=one, b_x=two) == f"{one}-{two}"


@given(st.text())
def test_any_text_can_be_written_with_its_braces_doubled(text: str) -> None:
    doubled = text.replace("{", "{{").replace("}", "}}")
    assert fill(doubled) == (text if doubled else None) or not doubled


def test_a_name_alone_keeps_its_type_and_inside_a_text_becomes_text() -> None:
    assert fill(["{plan.cpus}", "{plan.cpus} CPUs"], plan_cpus=0.5) == [0.5, "0.5 CPUs"]


def test_rule_17_a_secret_is_recorded_as_a_reference() -> None:
    rendered = fill({"header": "Bearer {random.key} for {customer.email}"}, random_key=SECRET, customer_email="a@b")
    assert rendered == {"header": {"$parts": ["Bearer ", {"$ref": "random.key"}, " for ", "a@b"]}}
    assert rendering.reveal(rendered, {"random.key": "k"}) == {"header": "Bearer k for a@b"}


@pytest.mark.parametrize("text", ["{", "}", "{a b}", "{A.b}", "{a.b.c}", "{a.b", "{}", "{ a }"])
def test_a_brace_that_belongs_to_no_name_is_an_error(text: str) -> None:
    with pytest.raises(TemplateError):
        rendering.parse(text)


def test_names_are_found_anywhere_in_a_tree() -> None:
    tree = {"a": ["{x.y}", {"b": "{password}"}], "c": 3}
    assert list(rendering.references(tree)) == [Ref("x", "y"), Ref("password")]
