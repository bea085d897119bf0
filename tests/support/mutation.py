"""Real documents with something in them replaced or left out, for fuzzers."""

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Way = tuple[str | int, ...]

_TEXT = st.text(st.characters(), max_size=20)  # half surrogates too
JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | _TEXT
    | st.sampled_from(["", "\0", "x" * 5000, 2**63, -1]),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(_TEXT, inside, max_size=3),
    max_leaves=8,
)


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> Any:
    """The document with one to three of its values replaced or gone."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        ways = list(_ways(changed))
        if not ways:
            break
        *before, last = draw(st.sampled_from(ways))
        inside = changed
        for key in before:
            inside = inside[key]
        if isinstance(inside, dict) and draw(st.booleans()):
            del inside[last]
        else:
            inside[last] = draw(JUNK)
    return changed


def _ways(value: Any, way: Way = ()) -> Iterator[Way]:
    if way:
        yield way
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in pairs:
        yield from _ways(part, (*way, key))
