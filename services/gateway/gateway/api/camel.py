"""The public API speaks camelCase, the services among themselves snake_case."""

from collections.abc import Mapping
from typing import Any

# Below these names the keys are somebody's data, not our words.
OPAQUE = frozenset(
    {"before", "after", "payload", "parameters", "limits", "data", "refs", "facts", "metadata", "labels"}
)


def camel_name(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def camel(value: Any) -> Any:
    """The same document with our names in camelCase."""
    if isinstance(value, Mapping):
        return {camel_name(str(name)): part if name in OPAQUE else camel(part) for name, part in value.items()}
    return [camel(part) for part in value] if isinstance(value, list | tuple) else value
