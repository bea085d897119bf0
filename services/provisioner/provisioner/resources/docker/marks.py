"""How what is ours is told from what is not: by labels, which hold nothing that anybody may choose."""

from collections.abc import Mapping
from typing import Any

from provisioner.resources.port import Given, Permanent

MARK, INSTALL, SPEC = "keyturn.mark", "keyturn.install", "keyturn.spec"


def labels(given: Given[Any]) -> dict[str, str]:
    return {MARK: given.mark, INSTALL: str(given.install)}


def ours(given: Given[Any], found: Mapping[str, str] | None) -> bool:
    return (found or {}).get(MARK) == given.mark


def must_be_ours(given: Given[Any], what: str, found: Mapping[str, str] | None) -> None:
    """Raises `Permanent`: nothing of somebody else is ever touched."""
    if not ours(given, found):
        raise Permanent(f"there is a {what} named {given.slug} already, and it is not of this install")
