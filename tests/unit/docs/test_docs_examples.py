"""The pages' tables say what the code says, and their examples are read by the real readers."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from pydantic import BaseModel

from billing.catalog import Catalog, Plan, Price, Product, parse_catalog
from billing.coupons import Coupon
from billing.errors import CatalogError
from billing.policy import Policy
from billing.settings import BillingSettings
from billing.taxes import Seller, TaxRule
from gateway import limits
from gateway.api.shapes import CheckoutAnswer, CheckoutRequest
from gateway.app import FORGERIES
from gateway.settings import GatewaySettings
from gateway.webhooks import razorpay, stripe
from keyturn.http import CODES
from keyturn.internal import Signer
from keyturn.sealing import KeyRing
from provisioner import blueprints
from provisioner.errors import BlueprintError
from provisioner.resources import Kinds, kinds
from provisioner.resources.local import Local
from support import pages
from support.pages import ROOT

SELLING, INTEGRATORS = "selling.md", "integrators.md"


def test_the_parsing_example_runs_with_the_event_library_alone() -> None:
    program = "import sys\n" + pages.marked(INTEGRATORS, "read").text
    program += "\nassert not {'aio_pika', 'sqlalchemy', 'fastapi', 'nacl', 'httpx'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


@pytest.mark.parametrize("model", [Catalog, Product, Plan, Price, Coupon, Policy, Seller, TaxRule])
def test_the_catalogue_tables_name_every_key_and_no_other(model: type[BaseModel]) -> None:
    real = {field.alias or name for name, field in model.model_fields.items()}
    assert _first_column(f"<!-- keys: {model.__name__} -->") == real


def test_the_policy_table_gives_the_real_defaults() -> None:
    text = pages.between(SELLING, "<!-- keys: Policy -->", "\n\n")
    told = {row.split("|")[1].strip(" `"): row.split("|")[3].strip(" `") for row in text.splitlines()[3:]}
    defaults = Policy().model_dump(mode="json")
    assert told == {name: str(default) for name, default in defaults.items()}


def test_the_blueprint_table_names_every_key_and_no_other() -> None:
    assert _first_column("<!-- keys: Blueprint -->") == set(blueprints._KEYS)


@pytest.fixture(scope="module")
def known() -> Kinds:
    return kinds(httpx.AsyncClient(), Local(Path("nowhere"), range(0)))


def test_the_page_describes_every_kind_of_resource_with_its_parameters_and_outputs(known: Kinds) -> None:
    assert set(re.findall(r"<!-- keys: ([a-z]+\.[a-z]+) -->", _text(SELLING))) == set(known.resources)
    for kind, cls in known.resources.items():
        real = {field.alias or name for name, field in cls.Parameters.model_fields.items()}
        assert _first_column(f"<!-- keys: {kind} -->") == real, kind


def test_the_table_of_names_is_the_closed_set() -> None:
    text = pages.between(SELLING, "<!-- names -->", "<!-- end names -->")
    rows = [row.strip("| ").split("|") for row in text.strip().splitlines()[2:]]
    told = {pages.codes(row[0])[0]: set(pages.codes(row[1])) for row in rows if pages.codes(row[0])}
    assert set(told) == {*blueprints.FIELDS, "password"}
    for root, fields in blueprints.FIELDS.items():
        assert fields is None or fields <= told[root], root


def test_the_worked_example_is_a_blueprint_and_a_catalogue(tmp_path: Path, known: Kinds) -> None:
    (tmp_path / "notes.yaml").write_text(pages.marked(SELLING, "notes-blueprint").text)
    assert set(blueprints.load(tmp_path, known)) == {"notes"}
    catalog = parse_catalog(pages.marked(SELLING, "notes-catalog").text)
    assert catalog.products["notes"].blueprint == "notes"


def test_the_blueprint_with_a_customers_domain_can_be_used(tmp_path: Path, known: Kinds) -> None:
    (tmp_path / "shop.yaml").write_text(pages.marked(SELLING, "domain-blueprint").text)
    (found,) = blueprints.load(tmp_path, known).values()
    assert list(found.resources) == ["shop", "domain", "certificate", "site"]


def test_the_example_of_a_site_is_a_blueprint(tmp_path: Path, known: Kinds) -> None:
    (tmp_path / "site.yaml").write_text(pages.marked(SELLING, "site-blueprint").text)
    found = blueprints.load(tmp_path, known)["notes-online"]
    assert found.limits == {"upload"}
    assert set(found.resources["own_site"].needs) == {"app", "domain", "certificate"}


def test_a_fault_in_a_blueprint_reads_as_on_the_page(tmp_path: Path, known: Kinds) -> None:
    (tmp_path / "broken.yaml").write_text(pages.marked(SELLING, "broken-blueprint").text)
    with pytest.raises(BlueprintError) as fault:
        blueprints.load(tmp_path, known)
    assert str(fault.value).removeprefix(f"{tmp_path}/") == _answer_text("broken-blueprint")


def test_faults_in_a_catalogue_read_as_on_the_page() -> None:
    with pytest.raises(CatalogError) as faults:
        parse_catalog(pages.marked(SELLING, "broken-catalog").text)
    assert str(faults.value) == _answer_text("broken-catalog")


@pytest.mark.parametrize(("catalog", "said"), [("catalog.yaml", "11 products"), ("README.md", "README.md:")])
def test_the_check_of_the_page_takes_our_own_files_and_refuses_what_is_none(catalog: str, said: str) -> None:
    words = [sys.executable, "-m", "sandbox.selling", str(ROOT / catalog), str(ROOT / "blueprints")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert said in done.stdout + done.stderr


def test_the_checkout_tables_name_every_field_and_no_other() -> None:
    asked, answered = _checkout_tables()
    real = {field.alias or name for name, field in CheckoutRequest.model_fields.items()}
    assert asked - {"customer.email", "customer.name", "customer.firstName", "customer.lastName"} == real
    real = {field.alias or name for name, field in CheckoutAnswer.model_fields.items()}
    assert answered == real - {"success", "provider", "product", "plan"}  # they stand in the example, plain enough


def _checkout_tables() -> tuple[set[str], set[str]]:
    text = pages.between(INTEGRATORS, "### Open a checkout", "**`Idempotency-Key`**")
    asked, answered = re.findall(r"^\| (?:field|answer) \| \|\n\|---\|---\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    names = {name for row in asked.splitlines() for name in pages.codes(row.split("|")[1])}
    nested = set(re.findall(r"`(customer\.\w+)`", asked))
    return names | nested, {name for row in answered.splitlines() for name in pages.codes(row.split("|")[1])}


@pytest.mark.parametrize(("provider", "readers"), [("Stripe", stripe.READERS), ("Razorpay", razorpay.READERS)])
def test_the_page_names_exactly_the_webhooks_that_we_read(provider: str, readers: Mapping[str, object]) -> None:
    text = pages.between(INTEGRATORS, "Subscribe each endpoint to exactly these:", "Anything else is stored")
    rows = text.split(f"| {provider} |")[1].split("\n\n")[0].splitlines()[2:]
    told = [name for row in rows for name in pages.codes(row.split("|")[1])]
    assert sorted(told) == sorted(readers)


def test_the_table_of_problems_names_exactly_the_codes_that_the_code_gives() -> None:
    text = pages.between(INTEGRATORS, "<!-- codes -->", "<!-- end codes -->")
    told = {code for row in text.splitlines()[3:] for code in pages.codes(row.split("|")[1])}
    found = set(_codes()) | set(CODES.values()) | {"request_refused"}
    patterns = {code for code in found if "*" in code}
    literal = found - patterns
    made = {code for code in told for pattern in patterns if re.fullmatch(pattern.replace("*", "[a-z_]+"), code)}
    assert told - literal - made == set(), "on the page, and nowhere in the code"
    assert literal - told == set(), "in the code, and not on the page"
    for pattern in patterns:
        assert any(re.fullmatch(pattern.replace("*", "[a-z_]+"), code) for code in made), pattern


def _codes() -> Iterator[str]:
    """The codes of all problems that are made anywhere; `*` where a part is filled in."""
    for folder in ("services", "libs/common"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Problem" and len(node.args) > 1:
                    yield from _literal(node.args[1])
                elif isinstance(node, ast.ClassDef) and node.name.startswith("Signature"):
                    yield from _class_code(node)
    yield from re.findall(r'return "(thin_event)"', Path(stripe.__file__).read_text())


def _literal(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)


def _class_code(node: ast.ClassDef) -> Iterator[str]:
    for line in node.body:
        if isinstance(line, ast.Assign) and isinstance(line.value, ast.Constant) and node.name != "SignatureError":
            yield str(line.value.value)


def test_the_page_tells_the_real_rate_limits() -> None:
    rows = pages.table(INTEGRATORS, "## The public API")
    told = {int(number) for row in rows for number in re.findall(r"^(\d+) a minute", row[2])}
    made = {limits.CHECKOUT, limits.STATUS, limits.SETUP, limits.SIGN_IN, limits.COUPON}
    assert told == {limit.dependency.limit.per_minute for limit in made}
    assert f"after {FORGERIES.burst:.0f} bad signatures, {FORGERIES.per_minute:.0f} bad ones a minute" in rows[-1][2]


def test_the_commands_that_make_keys_make_keys_that_the_services_take() -> None:
    script = pages.marked("operators.md", "keys").text.replace(".venv/bin/python", sys.executable)
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT)
    made = dict(line.split("=", 1) for line in done.stdout.splitlines())
    gateway = GatewaySettings(
        _env_file=None, database_url="x", session_key=made["SESSION_KEY"], signing_key=made["INTERNAL_SIGNING_KEY"]
    )
    signer = Signer.from_seed(gateway.signing_key.get_secret_value())
    assert signer.public_key() == made["INTERNAL_PUBLIC_KEY"]
    BillingSettings(_env_file=None, database_url="x", address_key=made["ADDRESS_KEY"])
    for ring in ("PROVISIONER_SEALING_KEYS", "MAIL_KEYS"):
        assert KeyRing.from_text(made[ring]).active_id() == "2026-11"


def _first_column(mark: str) -> set[str]:
    """The names in the first column of the table behind a mark."""
    rows = pages.between(SELLING, mark, "\n\n").strip().splitlines()[2:]
    return {name for row in rows for name in pages.codes(row.split("|")[1])}


def _answer_text(mark: str) -> str:
    return pages.marked(SELLING, f"answer to {mark}").text.strip()


def _text(page: str) -> str:
    return (pages.DOCS / page).read_text()
