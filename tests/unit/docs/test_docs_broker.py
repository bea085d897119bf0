"""docs/broker.md names the test of each thing that it says: those tests exist."""

import re

from support import pages


def test_every_test_that_the_page_names_exists_and_every_row_names_one() -> None:
    page = (pages.DOCS / "broker.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.endswith("| test |")]
    assert [row for row in rows if "`test_" not in row] == []
    named = set(re.findall(r"`(test_\w+)`", page))
    files = (pages.ROOT / "tests").rglob("test_*.py")
    there = {name for file in files for name in re.findall(r"def (test_\w+)\(", file.read_text())}
    assert named - there == set()
