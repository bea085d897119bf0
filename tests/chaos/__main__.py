"""`python -m chaos --journeys 100 --faults 40 --seed 7`: exit code 1 where anything was lost, doubled, orphaned, stuck,
inverted, died, or resumed too late. What a bad run wrote is kept."""

import argparse
import asyncio
import shutil
import sys
import time

from chaos.run import run, table, workplace
from keyturn import log


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--journeys", type=int, default=20)
    parser.add_argument("--faults", type=int, default=12)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", action="store_true", help="what a good run wrote, too")
    asked = parser.parse_args()
    log.configure("chaos", "console", "ERROR")
    folder = workplace(asked.seed)
    print(f"seed {asked.seed}, {folder}", flush=True)
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {line}", flush=True)

    report = asyncio.run(run(folder, journeys=asked.journeys, faults=asked.faults, seed=asked.seed, say=say))
    print(table(report))
    if report.wrong or report.late:
        print(f"\nseed {asked.seed}; what the services wrote is in {folder}")
        return 1
    if not asked.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
