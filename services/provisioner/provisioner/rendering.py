"""Texts with names in braces. Filling in is substitution and nothing else: what was put in is never read again.

A name whose value is secret is not put in but kept as a reference, `{"$ref": "random.key"}`, until the moment of the
call; so recorded parameters hold no secret. No name and no literal can make such a mapping: keys that begin with `$`
are refused when a blueprint is loaded.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.errors import TemplateError

PARTS, REF = "$parts", "$ref"
_TOKEN = re.compile(r"\{\{|\}\}|\{([a-z][a-z0-9_]*)(?:\.([a-z][a-z0-9_]*))?\}|[{}]")


@dataclass(frozen=True)
class Ref:
    """One name in braces: `{container.address}`, or `{password}`, which has no field."""

    root: str
    field: str = ""

    def __str__(self) -> str:
        return f"{self.root}.{self.field}" if self.field else self.root


class Secret:
    """What a lookup answers where the value is secret."""


SECRET = Secret()
Lookup = Callable[[Ref], Any]


def parse(text: str) -> list[str | Ref]:
    """The literal parts and the names of a text. `{{` and `}}` are braces."""
    parts: list[str | Ref] = []
    at = 0
    for token in _TOKEN.finditer(text):
        parts.append(text[at : token.start()])
        at = token.end()
        if token[0] in {"{{", "}}"}:
            parts.append(token[0][0])
        elif token[1] is None:
            raise TemplateError(f"a brace at character {token.start() + 1} belongs to no name; write it twice")
        else:
            parts.append(Ref(token[1], token[2] or ""))
    parts.append(text[at:])
    return [part for part in parts if part != ""]


def references(tree: Any) -> Iterator[Ref]:
    """Every name in a tree of parameters."""
    if isinstance(tree, str):
        yield from (part for part in parse(tree) if isinstance(part, Ref))
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from references(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from references(value)


def render(tree: Any, lookup: Lookup) -> Any:
    """The tree with every name replaced by its value; a text that is one name alone keeps the value's type."""
    if isinstance(tree, str):
        return _text(parse(tree), lookup)
    if isinstance(tree, Mapping):
        return {key: render(value, lookup) for key, value in tree.items()}
    if isinstance(tree, list):
        return [render(value, lookup) for value in tree]
    return tree


def _text(parts: list[str | Ref], lookup: Lookup) -> Any:
    found = [part if isinstance(part, str) else _value(part, lookup) for part in parts]
    if len(found) == 1:
        return found[0]
    if any(isinstance(part, dict) for part in found):
        return {PARTS: [part if isinstance(part, dict) else plain(part) for part in found]}
    return "".join(plain(part) for part in found)


def _value(ref: Ref, lookup: Lookup) -> Any:
    value = lookup(ref)
    return {REF: str(ref)} if isinstance(value, Secret) else value


def plain(value: Any) -> str:
    """A value inside a longer text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def secrets_in(recorded: Any) -> Iterator[str]:
    """The references that `reveal` will ask for."""
    if isinstance(recorded, Mapping):
        if REF in recorded:
            yield recorded[REF]
        else:
            for value in recorded.values():
                yield from secrets_in(value)
    elif isinstance(recorded, list):
        for value in recorded:
            yield from secrets_in(value)


def reveal(recorded: Any, secret: Mapping[str, str]) -> Any:
    """Recorded parameters with their secrets put in, for the call and no longer."""
    if isinstance(recorded, Mapping):
        if REF in recorded:
            return secret[recorded[REF]]
        if PARTS in recorded:
            return "".join(secret[part[REF]] if isinstance(part, Mapping) else part for part in recorded[PARTS])
        return {key: reveal(value, secret) for key, value in recorded.items()}
    if isinstance(recorded, list):
        return [reveal(value, secret) for value in recorded]
    return recorded
