"""Peer: durable jobs of six steps that do nothing, by DBOS, each step recorded.

python dbos_jobs.py POSTGRES JOBS IN_FLIGHT
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS

STEPS = 6


@DBOS.step()
def nothing(number: int) -> int:
    return number


@DBOS.workflow()
def job() -> None:
    for number in range(STEPS):
        nothing(number)


def main(url: str, jobs: int, in_flight: int) -> None:
    pool = max(10, in_flight)
    config = {"name": "bench", "system_database_url": url, "sys_db_pool_size": pool, "run_admin_server": False}
    DBOS(config=config)
    DBOS.launch()
    with ThreadPoolExecutor(in_flight) as threads:
        for done in [threads.submit(job) for _ in range(in_flight * 2)]:  # connections are opened, statements prepared
            done.result()
        began, used = time.perf_counter(), time.process_time()
        for done in [threads.submit(job) for _ in range(jobs)]:
            done.result()
        print(json.dumps({"seconds": time.perf_counter() - began, "cpu": time.process_time() - used}))
    DBOS.destroy()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
