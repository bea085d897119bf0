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
from provisioner.repository import installs, progress
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


def opened(
    keys: KeyRing,
    install_id: UUID,
    references: Iterable[str],
    secrets: Mapping[str, Sealed[str]],
    records: Mapping[str, Record],
) -> dict[str, str]:
    """The plaintext behind each reference, for one call."""
    found: dict[str, str] = {}
    for reference in set(references) - {"password"}:
        root, _, name = reference.partition(".")
        if root == "random":
            found[reference] = keys.open(secrets[name], place=installs.secret_place(install_id, name))
        else:
            sealed: Sealed[str] = Sealed(records[root].outputs[name][SEALED])
            found[reference] = keys.open(sealed, place=place(install_id, root, "outputs", name))
    return found


async def read(tx: Transaction, keys: KeyRing, install_id: UUID, references: Iterable[str]) -> dict[str, str]:
    """The same, for whoever has not read what the install has."""
    wanted = set(references) - {"password"}
    if not wanted:
        return {}
    return opened(
        keys, install_id, wanted, await progress.secrets(tx, install_id), await progress.records(tx, install_id)
    )


def place(install_id: UUID, resource: str, column: str, name: str) -> tuple[str, ...]:
    return ("resources", f"{install_id}/{resource}", f"{column}.{name}")
