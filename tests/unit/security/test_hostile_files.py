"""A catalogue or blueprint that somebody slipped in must not take the memory or the start of a service: it is refused
with file and line, like any other mistake."""

import contextlib
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.catalog import parse_catalog
from billing.errors import CatalogError
from provisioner import blueprints
from provisioner.errors import BlueprintError
from provisioner.resources import kinds
from provisioner.resources.local import Local
from support.examples import examples

KINDS = kinds(httpx.AsyncClient(), Local(Path("/nowhere"), range(20000, 20010)))
LAUGHS = "a0: &a0 [ha, ha]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))

HOSTILE = {
    "billion laughs": LAUGHS + "name: *a29\ndefault: *a29\n",
    "one alias": "name: &x shop\ndefault: *x\n",
    "a circle": "name: &x [*x]\n",
    "a merged key": "name: x\n<<: &x {a: b}\n",
    "deep lists": "name: " + "[" * 20_000,
    "deep blocks": "".join(f"{' ' * n}a:\n" for n in range(200)),
    "many megabytes": "name: x\n" * 500_000,
    "one long line": "name: " + "x" * 3_000_000,
    "somebody's class": "name: !!python/object/apply:os.system [true]\n",
    "a tag that fits nothing": "name: !!bool maybe\n",
    "a date of no calendar": "name: 2026-99-99\n",
    "a number of thousands of digits": "name: " + "9" * 5_000 + "\n",
    "the value key": "name: =\n",
    "one key twice": "name: x\nname: y\n",
    "a list as key": "? [a]\n: b\n",
    "a mapping as key": "? {a: b}\n: b\n",
    "several documents": "name: x\n---\nname: y\n",
    "NUL": 'name: "a\\0b"\n',
    "half a surrogate": 'name: "\\ud800"\n',
    "control characters": "name: a\x00b\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_blueprint_is_refused_by_file_and_line(folder: Path, what: str) -> None:
    (folder / "x.yaml").write_text(HOSTILE[what])
    with pytest.raises(BlueprintError, match=r"x\.yaml:\d+: "):
        blueprints.load(folder, KINDS)


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_catalogue_is_refused_by_file_and_line(what: str) -> None:
    with pytest.raises(CatalogError, match=r"catalog\.yaml:\d+: "):
        parse_catalog(HOSTILE[what])


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan"])
def test_what_is_no_number_is_no_limit_and_no_parameter(folder: Path, number: str) -> None:
    (folder / "x.yaml").write_text(f"name: x\nresources:\n  a:\n    type: http.check\n    url: {number}\n")
    with pytest.raises(BlueprintError, match="5: "):
        blueprints.load(folder, KINDS)
    good = (Path(__file__).parents[3] / "catalog.yaml").read_text()
    with pytest.raises(CatalogError, match=r"catalog\.yaml:\d+: "):
        parse_catalog(good.replace("limits: {", f"limits: {{much: {number}, ", 1))


PARTS = st.sampled_from(
    ["name: x\n", "resources:\n", "  a: {type: http.check}\n", "default: x\n", "products:\n", "- ", "{", "}", "[", "]",
     "&a ", "*a", "!!int ", "? ", ": ", "<<: ", "---\n", "...\n", "| \n", "\t", '"', "'", "%YAML 1.2\n", "{purchase.id}"],
)  # fmt: skip


@settings(max_examples=examples(150), deadline=None)
@given(text=st.lists(PARTS | st.text(max_size=5), max_size=25).map("".join))
def test_no_text_breaks_the_readers_of_catalogue_and_blueprints(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    folder.mkdir(exist_ok=True)
    (folder / "x.yaml").write_text(text, encoding="utf-8", errors="replace")
    for read in (lambda: parse_catalog(text), lambda: blueprints.load(folder, KINDS)):
        with contextlib.suppress(CatalogError, BlueprintError):
            read()
