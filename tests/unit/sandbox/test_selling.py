"""What is sold can be made: found out before somebody has paid."""

from pathlib import Path

import pytest

from keyturn.errors import Misconfigured
from sandbox.selling import check
from sandbox.system import System
from support import pages
from support.pages import ROOT


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The worked example of docs/selling.md."""
    (tmp_path / "blueprints").mkdir()
    (tmp_path / "blueprints" / "notes.yaml").write_text(pages.marked("selling.md", "notes-blueprint").text)
    (tmp_path / "catalog.yaml").write_text(pages.marked("selling.md", "notes-catalog").text)
    return tmp_path


def changed(shop: Path, before: str, after: str) -> None:
    text = (shop / "catalog.yaml").read_text()
    assert before in text
    (shop / "catalog.yaml").write_text(text.replace(before, after))


def test_our_own_files_and_the_pages_example_fit(shop: Path) -> None:
    assert check(ROOT / "catalog.yaml", ROOT / "blueprints").startswith("11 products")
    assert check(shop / "catalog.yaml", shop / "blueprints") == "1 products, 1 blueprints"


def test_a_product_without_its_blueprint_is_named(shop: Path) -> None:
    changed(shop, "blueprint: notes", "blueprint: diary")
    with pytest.raises(Misconfigured, match=r"catalog.yaml:6: products.notes.blueprint: there is no blueprint 'diary'"):
        check(shop / "catalog.yaml", shop / "blueprints")


def test_a_plan_without_a_limit_that_its_blueprint_reads_is_named(shop: Path) -> None:
    changed(shop, "limits: {memory: 128M}", "limits: {disk: 1G}")
    with pytest.raises(Misconfigured, match=r"catalog.yaml:8: .*notes-small: blueprint notes reads {plan.memory}"):
        check(shop / "catalog.yaml", shop / "blueprints")


async def test_the_sandbox_starts_nothing_that_cannot_be_made(shop: Path) -> None:
    changed(shop, "blueprint: notes", "blueprint: diary")
    chosen = {"CATALOG": str(shop / "catalog.yaml"), "BLUEPRINTS": str(shop / "blueprints")}
    with pytest.raises(Misconfigured, match="diary"):
        async with System(shop / "system", given=chosen):
            pass
