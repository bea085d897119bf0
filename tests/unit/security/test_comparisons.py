"""What proves something is compared in constant time: read from the code, since times measured in a test tell little."""

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from billing.providers.razorpay import RazorpayProvider
from billing.providers.stripe import StripeProvider
from gateway.access import Access
from gateway.api import installs
from gateway.webhooks import signatures

ROOT = Path(__file__).parents[3]
PROOF = re.compile(r"(^|_)(token|signature|secret|mac|hmac|digest|password|proof|session_id|signing_key)s?$")


def plain_comparisons(code: str) -> Iterator[str]:
    """Where a value that is named like a proof is compared with `==` or `!=`. A new empty object is no secret."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
            sides = [node.left, *node.comparators]
            empty = any(isinstance(side, ast.Call) and not side.args for side in sides)
            if not empty and any(PROOF.search(_name(side)) for side in sides):
                yield ast.unparse(node)


def _name(side: ast.expr) -> str:
    return side.id if isinstance(side, ast.Name) else side.attr if isinstance(side, ast.Attribute) else ""


def modules() -> list[Path]:
    """Queries look hashes up by an index instead: nobody learns from that what the next one should be."""
    found = [*(ROOT / "services").rglob("*.py"), *(ROOT / "libs/common").rglob("*.py")]
    return [file for file in found if "repository" not in file.parts and file.name != "repository.py"]


def test_no_proof_is_compared_plainly() -> None:
    found = {file.name: list(plain_comparisons(file.read_text())) for file in modules()}
    assert len(found) > 50
    assert {name: places for name, places in found.items() if places} == {}


@pytest.mark.parametrize(
    "code", ["given.token == known", "signature != right", "a == self._mac", "x.session_id == y.id"]
)
def test_the_search_finds_a_plain_comparison(code: str) -> None:
    assert list(plain_comparisons(code)) == [code]


@pytest.mark.parametrize(
    "check",
    [signatures._fits, Access.allows, installs.owned, StripeProvider.verify_return, RazorpayProvider.verify_return],
)
def test_each_check_of_a_proof_takes_the_same_time_for_every_wrong_one(check: Callable[..., Any]) -> None:
    assert "hmac.compare_digest(" in inspect.getsource(check)
