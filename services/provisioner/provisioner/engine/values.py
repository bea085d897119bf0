"""What stands for each name in braces: the order, the plan, the install, our settings, and what resources gave."""

import secrets as randomness
import sys
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from keyturn.database import Transaction
from keyturn.events.sealed import Sealed
from keyturn.sealing import KeyRing
from provisioner import rendering
from provisioner.domain import Install
from provisioner.errors import TemplateError
from provisioner.records import Record
from provisioner.rendering import SECRET, Lookup, Ref
from provisioner.repository import installs
from provisioner.settings import ProvisionerSettings

SEALED = "$sealed"  # in notes and outputs: {"$sealed": ciphertext}


def hostname(install: Install, base_domain: str) -> str:
    return f"{install.subdomain}.{base_domain}" if install.subdomain else base_domain


def lookup(install: Install, records: Mapping[str, Record], settings: ProvisionerSettings) -> Lookup:
    known = _known(install, settings)

    def find(ref: Ref) -> Any:
        if ref.root in {"random", "password"}:
            return SECRET
        if ref.root in known:
            return _field(known[ref.root], ref)
        record = records.get(ref.root)
        if record is None or ref.field not in record.outputs:
            raise TemplateError(f"{{{ref}}} is not there")
        value = record.outputs[ref.field]
        return SECRET if isinstance(value, dict) else value

    return find


def _known(install: Install, settings: ProvisionerSettings) -> dict[str, Mapping[str, Any]]:
    order = install.parameters
    store_name = order.get("store_name") or install.contact.get("name") or install.subdomain
    return {
        "purchase": {**order, "id": str(install.id), "product": install.product, "store_name": store_name},
        "customer": install.contact,
        "plan": {**install.limits, "name": install.plan},
        "install": {
            "id": str(install.id),
            "subdomain": install.subdomain,
            "hostname": hostname(install, settings.base_domain),
        },
        "settings": {
            "base_domain": settings.base_domain,
            "public_url": settings.public_url,
            "python": sys.executable,
        },
    }


def _field(values: Mapping[str, Any], ref: Ref) -> Any:
    """What an order or a contact leaves out is empty; a plan must say what a blueprint asks of it."""
    if ref.root == "plan" and ref.field not in values:
        raise TemplateError(f"{{{ref}}} is not among the plan's limits")
    value = values.get(ref.field)
    return "" if value is None else value


def holds(when: str | None, find: Lookup) -> bool:
    return when is None or rendering.plain(rendering.render(when, find)).strip().lower() not in {"", "false", "no", "0"}


def random_names(references: Iterable[str]) -> list[str]:
    return [name.partition(".")[2] for name in references if name.startswith("random.")]


def new_secrets(names: Iterable[str]) -> dict[str, str]:
    return {name: randomness.token_urlsafe(32) for name in names}


async def opened(tx: Transaction, keys: KeyRing, install_id: UUID, references: Iterable[str]) -> dict[str, str]:
    """The plaintext behind each reference, for one call."""
    wanted = set(references) - {"password"}
    made = await installs.secrets_of(tx, install_id) if wanted else {}
    found: dict[str, str] = {}
    for reference in wanted:
        root, _, name = reference.partition(".")
        if root == "random":
            found[reference] = keys.open(made[name], place=installs.secret_place(install_id, name))
        else:
            record = await installs.record(tx, install_id, root)
            assert record is not None
            found[reference] = keys.open(
                Sealed(record.outputs[name][SEALED]), place=place(install_id, root, "outputs", name)
            )
    return found


def place(install_id: UUID, resource: str, column: str, name: str) -> tuple[str, ...]:
    return ("resources", f"{install_id}/{resource}", f"{column}.{name}")
