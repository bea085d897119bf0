"""Stripe's form-encoded parameters: `a[b][0][c]=v` both ways of counting (`[0]`, `[]`), and checks on what arrives."""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from sandbox.stripe.errors import invalid

_KEY = re.compile(r"\[([^\[\]]*)\]")


def decode(text: str) -> dict[str, Any]:
    """The nested values; every leaf is a string, as on the wire."""
    tree: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        head = name.partition("[")[0]
        _put(tree, [head, *_KEY.findall(name)], value)
    return {name: _lists(value) for name, value in tree.items()}


def _put(tree: dict[str, Any], path: list[str], value: str) -> None:
    for part in path[:-1]:
        step = tree.setdefault(part or str(len(tree)), {})
        if not isinstance(step, dict):
            raise invalid("Invalid object", param=path[0])
        tree = step
    tree[path[-1] or str(len(tree))] = value


def _lists(value: Any) -> Any:
    """Objects whose keys are 0, 1, 2… are arrays."""
    if not isinstance(value, dict):
        return value
    inner = {name: _lists(one) for name, one in value.items()}
    if inner and all(name.isdigit() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner


def known(params: dict[str, Any], names: Iterable[str], prefix: str = "") -> None:
    """Stripe refuses parameters that it does not know."""
    for name in params:
        if name not in names:
            full = f"{prefix}[{name}]" if prefix else name
            raise invalid(f"Received unknown parameter: {full}", param=full, code="parameter_unknown")


def required(params: dict[str, Any], name: str, prefix: str = "") -> Any:
    """The value; an empty one counts as missing."""
    full = f"{prefix}[{name}]" if prefix else name
    if params.get(name) in {None, ""} if not isinstance(params.get(name), dict | list) else False:
        raise invalid(f"Missing required param: {full}.", param=full, code="parameter_missing")
    return params[name]


def integer(params: dict[str, Any], name: str, prefix: str = "") -> int:
    """A whole number, not negative."""
    full = f"{prefix}[{name}]" if prefix else name
    text = str(required(params, name, prefix))
    if not re.fullmatch(r"-?\d+", text):
        raise invalid(f"Invalid integer: {text}", param=full, code="parameter_invalid_integer")
    if int(text) < 0:
        raise invalid("This value must be greater than or equal to 0.", param=full, code="parameter_invalid_integer")
    return int(text)


def metadata(params: dict[str, Any], name: str = "metadata") -> dict[str, str]:
    """At most 50 keys of 40 characters with values of 500."""
    given = params.get(name) or {}
    if not isinstance(given, dict):
        raise invalid("Invalid object", param=name)
    if len(given) > 50:
        raise invalid("Metadata can have at most 50 keys.", param=name)
    for key, value in given.items():
        if len(key) > 40 or len(str(value)) > 500:
            raise invalid("Metadata keys have up to 40, values up to 500 characters.", param=f"{name}[{key}]")
    return {key: str(value) for key, value in given.items() if value != ""}
