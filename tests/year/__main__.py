"""`python -m year --customers 1000`: a year of customers; exit code 1 where the books do not balance."""

import argparse
import os
import sys
import time

import uvloop

from keyturn import log
from keyturn.service import collect_less_garbage
from support import servers
from support.databases import Databases
from year.ledger import Ledger
from year.run import live


async def _year(customers: int) -> Ledger:
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {line}", flush=True)

    databases = Databases(os.environ[servers.POSTGRES_URL])
    try:
        return await live(await databases.create("billing"), customers, say)
    finally:
        await databases.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m year", description=__doc__)
    parser.add_argument("--customers", type=int, default=1000)
    asked = parser.parse_args()
    log.configure("year", "console", "ERROR")
    collect_less_garbage()
    with servers.start(broker_too=False):
        ledger = uvloop.run(_year(asked.customers))
    print(ledger)
    return 1 if ledger.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
