"""A process that has imported the four services, and becomes one of them in a child at each order: so that a service
starts in a tenth of the time, and tests can kill hundreds. What runs is `python -m <service>`, in a process of its own.

`python -m support.nursery`: a line of JSON in (service, environment, folder, log), the child's pid out.
"""

import faulthandler
import gc
import importlib
import json
import os
import runpy
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

from keyturn import failpoints
from sandbox.postgres import SERVICES, dies_with_us

_follow = dies_with_us(signal.SIGTERM)


def main() -> None:
    for service in SERVICES:
        importlib.import_module(f"{service}.app")
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children: they are watched by pidfd
    for line in sys.stdin:
        order = json.loads(line)
        if (pid := os.fork()) == 0:
            os._exit(_become(order))
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _become(order: dict[str, Any]) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if _follow:
        _follow()
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for ours, theirs in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(ours, theirs)
    faulthandler.register(signal.SIGUSR1)  # where it hangs, should it not end
    os.chdir(Path(order["folder"]))
    os.environ.clear()
    os.environ.update(order["environment"])
    importlib.reload(failpoints)  # what is armed stands in the environment
    warnings.resetwarnings()
    sys.argv = [order["service"]]
    try:
        runpy.run_module(order["service"], run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    main()
