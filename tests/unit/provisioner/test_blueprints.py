"""Blueprints: what is wrong with a recipe is found when it is loaded, with file and line."""

from pathlib import Path

import pytest

from provisioner import blueprints
from provisioner.blueprints import Blueprint
from provisioner.errors import BlueprintError
from provisioner.resources import kinds
from provisioner.resources.local import Local
from support.fake_target import World, fake_kinds

ROOT = Path(__file__).parents[3]


def load(folder: Path, text: str) -> Blueprint:
    (folder / "one.yaml").write_text(text)
    (blueprint,) = blueprints.load(folder, fake_kinds(World())).values()
    return blueprint


def test_the_blueprints_that_come_with_keyturn_load() -> None:
    import httpx

    known = kinds(httpx.AsyncClient(), Local(Path("/nowhere"), range(20000, 20010)))
    assert set(blueprints.load(ROOT / "blueprints", known)) >= {"sandbox-app", "sandbox-app-check"}


def test_resources_stand_in_the_order_in_which_they_can_be_made(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        """
name: shop
resources:
  shop: {type: fake.thing, after: "{database.address}"}
  database: {type: fake.thing}
""",
    )
    assert list(found.resources) == ["database", "shop"]
    assert found.resources["shop"].needs == ("database",)


def test_what_a_customer_says_is_remembered_by_parameter(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        'name: shop\nresources:\n  shop: {type: fake.thing, size: "{purchase.domain}", after: "{install.hostname}"}\n',
    )
    assert found.resources["shop"].customer_named == ["size"]


@pytest.mark.parametrize(
    ("line", "message", "text"),
    [
        (2, "not YAML", "name: [\n"),
        (1, "mapping", "- a\n"),
        (2, "unknown key 'resource'", "name: x\nresource: {}\n"),
        (3, "there twice", "name: x\nresources:\nname: y\n"),
        (3, "unknown type 'fake.thin'", "name: x\nresources:\n  a: {type: fake.thin}\n"),
        (5, "sice: Extra inputs", "name: x\nresources:\n  a:\n    type: fake.thing\n    sice: big\n"),
        (5, "count: ", "name: x\nresources:\n  a:\n    type: fake.thing\n    count: many\n"),
        (5, "unknown name {purchace.id}", 'name: x\nresources:\n  a:\n    type: fake.thing\n    size: "{purchace.id}"\n'),
        (5, "unknown name {purchase.colour}", 'name: x\nresources:\n  a:\n    type: fake.thing\n    size: "{purchase.colour}"\n'),
        (5, "belongs to no name", 'name: x\nresources:\n  a:\n    type: fake.thing\n    size: "{oh no}"\n'),
        (5, "in `setup` alone", 'name: x\nresources:\n  a:\n    type: fake.thing\n    size: "{password}"\n'),
        (4, "a gives address, key, not 'adress'", 'name: x\nresources:\n  a: {type: fake.thing}\n  b: {type: fake.thing, after: "{a.adress}"}\n'),
        (3, "goes in a circle", 'name: x\nresources:\n  a: {type: fake.thing, after: "{b.key}"}\n  b: {type: fake.thing, after: "{a.key}"}\n'),
        (4, "not waited for", 'name: x\nresources:\n  a: {type: fake.thing, optional: true}\n  b: {type: fake.thing, after: "{a.key}"}\n'),
        (4, "may leave out", 'name: x\nresources:\n  a: {type: fake.thing, when: "{purchase.domain}"}\n  b: {type: fake.thing, after: "{a.key}"}\n'),
        (4, "not certain to be there", 'name: x\nresources:\n  a: {type: fake.thing, optional: true}\noutputs: {url: "{a.address}"}\n'),
        (3, "a meaning of its own", "name: x\nresources:\n  install: {type: fake.thing}\n"),
        (5, "unknown type 'fake.thing' for setup", "name: x\nresources:\n  a: {type: fake.thing}\nsetup:\n  - {type: fake.thing}\n"),
        (4, "{random.password}", "name: x\nresources:\n  a: {type: fake.thing}\ncredentials: generated\n"),
        (3, "no key begins with $", "name: x\nresources:\n  a: {type: fake.thing, $ref: x}\n"),
        (3, "put it in quotes", "name: x\nresources:\n  a: {type: fake.thing, size: 2026-01-01}\n"),
        (2, "at least one resource", "name: x\nresources: {}\n"),
    ],
)  # fmt: skip
def test_a_wrong_blueprint_is_refused_with_file_and_line(tmp_path: Path, line: int, message: str, text: str) -> None:
    with pytest.raises(BlueprintError) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'one.yaml'}:{line}: ")
    assert message in str(caught.value)


def test_two_blueprints_of_one_name_are_refused(tmp_path: Path) -> None:
    text = "name: x\nresources:\n  a: {type: fake.thing}\n"
    (tmp_path / "two.yaml").write_text(text)
    with pytest.raises(BlueprintError, match="another blueprint"):
        load(tmp_path, text)
