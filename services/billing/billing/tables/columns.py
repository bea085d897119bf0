"""The metadata of all tables, and the kinds of columns that most of them have."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, ForeignKey, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from keyturn.database import new_metadata

metadata = new_metadata()


def id_(name: str = "id") -> Column[object]:
    return Column(name, Uuid, primary_key=True)


def text_(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def json_(name: str) -> Column[object]:
    return Column(name, JSONB, nullable=False)


def when(name: str, *, null: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=null)


def amount(name: str = "amount") -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def of(name: str, other: str, *, null: bool = False) -> Column[object]:
    return Column(name, ForeignKey(other), nullable=null)


def flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)
