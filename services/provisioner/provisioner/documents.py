"""YAML with the line of every value, so that an error can say where it is."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from keyturn import yamlfiles
from keyturn.yamlfiles import YamlFault
from provisioner.errors import BlueprintError

Way = tuple[str | int, ...]  # keys and indexes from the root to a value


@dataclass(frozen=True)
class Document:
    """A file's tree of plain values, and on which line each of them stands."""

    file: Path
    tree: dict[str, Any]
    lines: dict[Way, int] = field(repr=False)

    def line(self, way: Way) -> int:
        """The line of a value, or of the nearest thing around it that is in the file."""
        while way not in self.lines:
            way = way[:-1]
        return self.lines[way]

    def error(self, way: Way, message: str) -> BlueprintError:
        return BlueprintError(self.file, self.line(way), message)


def read(file: Path) -> Document:
    """Raises `BlueprintError` for what is not YAML, not a mapping, or has one key twice."""
    try:
        root = yamlfiles.compose(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise BlueprintError(file, 1, "not YAML in UTF-8") from None
    except YamlFault as fault:
        raise BlueprintError(file, fault.line, str(fault)) from None
    lines: dict[Way, int] = {(): 1}
    if not isinstance(root, yaml.MappingNode):
        raise BlueprintError(file, 1, "a blueprint is a mapping")
    tree = _Reader(file, lines).value(root, ())
    return Document(file, tree, lines)


class _Reader:
    def __init__(self, file: Path, lines: dict[Way, int]) -> None:
        self._file = file
        self._lines = lines

    def value(self, node: yaml.Node, way: Way) -> Any:
        self._lines.setdefault(way, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, way)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*way, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            value = yamlfiles.value_of(node)
        except YamlFault as fault:
            raise self._error(node, str(fault)) from None
        if not isinstance(value, str | int | float | bool | None):
            raise self._error(node, f"{node.value!r} is read as a {type(value).__name__}: put it in quotes")
        if isinstance(value, float) and not math.isfinite(value):
            raise self._error(node, f"{node.value!r} is no number that can be used")
        return value

    def _mapping(self, node: yaml.MappingNode, way: Way) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in node.value:
            name = key.value
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                raise self._error(key, "a key is a plain word")
            if name.startswith("$"):
                raise self._error(key, "no key begins with $")
            if name in found:
                raise self._error(key, f"{name!r} is there twice")
            self._lines[*way, name] = key.start_mark.line + 1
            found[name] = self.value(item, (*way, name))
        return found

    def _error(self, node: yaml.Node, message: str) -> BlueprintError:
        return BlueprintError(self._file, node.start_mark.line + 1, message)
