"""The rows of the last runs, kept beside the code, and the table in `docs/performance.md` that is made of them.

A run of some benchmarks replaces their rows alone, so that each can be measured again by itself.
"""

import json
from collections.abc import Sequence

from benchmarks.budgets import Row, as_json, from_json, markdown
from benchmarks.servers import ROOT

KEPT = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- generated: budgets -->", "<!-- end -->"


def keep(name: str, rows: Sequence[Row]) -> None:
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    kept[name] = [as_json(row) for row in rows]
    KEPT.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n")
    every = [from_json(values) for values_of_one in kept.values() for values in values_of_one]
    table = markdown(sorted(every, key=lambda row: row.number))
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.split(END, 1)[1]}")
