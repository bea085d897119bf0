"""Runs the named benchmarks, or all of them, on servers of their own; ends with the table of the budgets.

python -m benchmarks [NAME ...] [--keep]      --keep: into docs/performance.md

A benchmark is a module here whose `main(scratch, postgres, broker)` returns its rows.
"""

import argparse
import importlib
import time

from benchmarks import budgets, results, servers, table
from benchmarks.brokers import rabbitmq

NAMES = (
    "intake",
    "jobs",
    "ready",
    "memory",
    "starts",
    "hop",
    "relay",
    "handler",
    "comparisons",
    "history",
    "backlog",
    "nightly",
    "checkout",
    "sites",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(NAMES)}; none: all")
    parser.add_argument("--keep", action="store_true", help="write the rows into docs/performance.md")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(NAMES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    began, rows = time.monotonic(), []
    print(servers.facts())
    with servers.folder() as scratch, servers.postgres(scratch) as postgres, rabbitmq() as broker:
        for name in asked.names or NAMES:
            found = importlib.import_module(f"benchmarks.{name}").main(scratch, postgres, broker)
            rows += found
            if asked.keep:
                results.keep(name, found)
    in_order = sorted(rows, key=lambda row: row.number)
    table.show("the budgets", budgets.HEADINGS, [row.cells() for row in in_order])
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
