"""How much a fuzzer tries: little in the suite, and `EXAMPLES=n` of everything for `make abuse`."""

import os

SEED = int(os.environ.get("SEED") or 1)
MANY = bool(os.environ.get("EXAMPLES"))


def examples(few: int) -> int:
    return int(os.environ.get("EXAMPLES") or few)
