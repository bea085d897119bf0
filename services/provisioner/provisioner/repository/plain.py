"""Rows as JSON, which PostgreSQL types by its tables: any number of them is one parameter of a statement."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from pydantic_core import to_json

from provisioner.certificates.records import Certificate
from provisioner.domain import Install, SetupLink
from provisioner.records import Job, Record, Step

Row = Install | Job | Step | Record | SetupLink | Certificate
_KINDS = (Install, Job, Step, Record, SetupLink, Certificate)
_NAMES: dict[type, Sequence[str]] = {kind: [one.name for one in fields(kind)] for kind in _KINDS}


def as_json(row: Row) -> str:
    return to_json(_plain(row)).decode()


def all_as_json(rows: Iterable[Row]) -> str:
    return to_json([_plain(row) for row in rows]).decode()


def _plain(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _NAMES[type(row)]}
