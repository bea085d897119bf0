"""The YAML files that operators write, for services that depend on pyyaml: plain trees and nothing else.

Aliases are refused, since a few lines of them stand for billions; so are tags, which make other things than values, and
what is larger or deeper than any file of ours, before anything is made of it.
"""

import re
from typing import Any

import yaml

LONGEST = 256 * 1024  # characters
DEEPEST = 32
# Escapes can write them; PostgreSQL takes no NUL, UTF-8 no half of a pair.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class YamlFault(Exception):
    """What is wrong with a file, and in which line."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class _Composer(yaml.SafeLoader):
    deep = 0

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        line = _line(event.start_mark)
        if getattr(event, "anchor", None) is not None:
            raise YamlFault(line, "anchors and aliases are not taken")
        if getattr(event, "tag", None) is not None:
            raise YamlFault(line, "tags are not taken")
        if isinstance(event, yaml.ScalarEvent) and _UNSTORABLE.search(event.value):
            raise YamlFault(line, "a text with characters that cannot be stored")
        if self.deep == DEEPEST:
            raise YamlFault(line, f"nested more than {DEEPEST} deep")
        self.deep += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.deep -= 1


def compose(text: str) -> yaml.Node | None:
    """The file's nodes; None where it is empty. Raises `YamlFault`."""
    if len(text) > LONGEST:
        raise YamlFault(1, f"more than {LONGEST} characters")
    try:
        return _Composer(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        raise YamlFault(
            error.problem_mark.line + 1 if error.problem_mark else 1, f"not YAML: {error.problem}"
        ) from None
    except yaml.YAMLError:
        raise YamlFault(1, "not YAML in UTF-8") from None


def value_of(node: yaml.Node) -> Any:
    """The plain value of a node. Raises `YamlFault`: a date of no calendar, a number of thousands of digits."""
    try:
        return yaml.SafeLoader("").construct_document(node)
    except (ValueError, OverflowError, yaml.YAMLError):
        raise YamlFault(_line(node.start_mark), "holds a value that cannot be read: put it in quotes") from None


def _line(mark: Any) -> int:
    return int(mark.line) + 1 if mark else 1
