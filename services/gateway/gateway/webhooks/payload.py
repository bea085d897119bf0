"""Reading a provider's JSON without trusting its shape: a read that fails names its place and quotes nothing."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain
from typing import Any, TypeVar

from pydantic_core import from_json

_ID = re.compile(r"[\x21-\x7e]{1,200}", re.ASCII)  # short enough for `<provider>:<id>` as an event's subject
_CURRENCY = re.compile(r"[A-Za-z]{3}", re.ASCII)
_DIGITS = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_UNSTORABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]+")  # PostgreSQL takes no NUL, UTF-8 no half of a pair
_UUID = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:-[0-9]{1,3})?$", re.ASCII | re.IGNORECASE)
_LONGEST_TEXT = 500
_LARGEST = 2**63 - 1
_DEEPEST = 200  # as the quick parser has it; what is stored must be read again also where our own stack is deeper

T = TypeVar("T")


def parse(body: bytes) -> Any:
    """The body's JSON. Raises ValueError where it is none. Half a surrogate pair, which the quick parser refuses, is no
    reason to send a provider away: what customers type reaches its payloads."""
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        pass
    try:
        found = json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        raise _too_deep() from None
    if _is_deep(found):
        raise _too_deep()
    return found


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        inside = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list))
        level = [part for parts in inside for part in parts]
    return bool(level)


def _too_deep() -> ValueError:
    return ValueError("nested too deeply")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class UnreadableError(ValueError):
    """A signed payload lacks what its type promises."""

    def __init__(self, place: str) -> None:
        super().__init__(f"{place} is missing or has an unknown shape")


class Part:
    """One JSON object of a payload, and where in it we are."""

    __slots__ = ("place", "values")

    def __init__(self, values: Mapping[str, Any], place: str) -> None:
        self.values = values
        self.place = place

    def __repr__(self) -> str:
        return f"Part({self.place})"  # never the values: they hold customers' data

    def text(self, key: str) -> str | None:
        """The text there, cleaned and cut; None where it is absent, null, empty or something else."""
        value = self.values.get(key)
        if not isinstance(value, str):
            return None
        clean = value if value.isprintable() else _UNSTORABLE.sub(" ", value)
        return clean[:_LONGEST_TEXT].strip() or None

    def needs_text(self, key: str) -> str:
        return _needed(self.text(key), self, key)

    def id(self, key: str) -> str | None:
        """An id, given plain or as the object that it names (Stripe's expanded fields)."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, dict):
            value = value.get("id")
        return value if isinstance(value, str) and _ID.fullmatch(value) else None

    def needs_id(self, key: str = "id") -> str:
        return _needed(self.id(key), self, key)

    def integer(self, key: str) -> int | None:
        """A whole number, also as digits in a text, as some payloads have it."""
        value = self.values.get(key)
        if isinstance(value, str) and _DIGITS.fullmatch(value):
            return int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return value if type(value) is int and abs(value) <= _LARGEST else None

    def needs_amount(self, key: str = "amount") -> int:
        value = self.integer(key)
        return _needed(None if value is None or value < 0 else value, self, key)

    def needs_currency(self) -> str:
        value = self.values.get("currency")
        known = isinstance(value, str) and _CURRENCY.fullmatch(value)
        return _needed(str(value).upper() if known else None, self, "currency")

    def moment(self, key: str) -> datetime | None:
        """Unix seconds as a time; None where absent, or beyond any calendar."""
        seconds = self.integer(key)
        try:
            return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
        except (ValueError, OverflowError, OSError):
            return None

    def part(self, *keys: str) -> "Part":
        """The object inside; an empty one where it is absent or a list (empty notes come as `[]`)."""
        values: Any = self.values
        for key in keys:
            values = values.get(key) if isinstance(values, dict) else None
        return Part(values if isinstance(values, dict) else {}, ".".join((self.place, *keys)))

    def needs_part(self, *keys: str) -> "Part":
        found = self.part(*keys)
        return _needed(found if found.values else None, self, ".".join(keys))

    def parts(self, key: str) -> "Iterator[Part]":
        """The objects of a list there, given plain or as `{"data": [...]}`."""
        value = self.values.get(key)
        items = value.get("data") if isinstance(value, dict) else value
        for number, item in enumerate(items if isinstance(items, list) else ()):
            if isinstance(item, dict):
                yield Part(item, f"{self.place}.{key}[{number}]")

    def refs(self, *keys: str, **kinds: str) -> dict[str, str]:
        """The provider ids under these keys, by kind; a keyword gives another kind than the key's name."""
        named = [(key, key) for key in keys], kinds.items()
        return {kind: value for kind, key in chain(*named) if (value := self.id(key))}


def purchase_reference(*candidates: str | None) -> str | None:
    """The first that is a purchase id: the same fields hold other shops' references on the same account. What follows
    an id after a hyphen is the number of the attempt, which makes receipts unique."""
    for candidate in candidates:
        if candidate and (found := _UUID.match(candidate)):
            return found[1].lower()
    return None


def _needed(value: T | None, part: Part, key: str) -> T:
    if value is None:
        raise UnreadableError(f"{part.place}.{key}")
    return value
