"""Runs the named benchmarks, or all of them, on servers of their own."""

import importlib
import sys
import time

from benchmarks import servers
from benchmarks.brokers import rabbitmq

NAMES = ("intake", "ready", "starts")


def main() -> None:
    wanted = sys.argv[1:] or NAMES
    if unknown := set(wanted) - set(NAMES):
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    began = time.monotonic()
    print(servers.facts())
    with servers.folder() as scratch, servers.postgres(scratch) as postgres, rabbitmq() as broker:
        for name in wanted:
            importlib.import_module(f"benchmarks.{name}").main(scratch, postgres, broker)
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
