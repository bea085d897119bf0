"""PgQueuer: drain a backlog of jobs that do nothing; prints the seconds it took."""

import asyncio
import json
import sys
import time
from datetime import timedelta

import asyncpg
from pgqueuer import AsyncpgPoolDriver, PgQueuer, Queries


async def main(url: str, jobs: int, in_flight: int) -> None:
    async with asyncpg.create_pool(url, min_size=2, max_size=max(10, in_flight // 2)) as pool:
        driver = AsyncpgPoolDriver(pool)
        queries = Queries(driver)
        await queries.install()
        await queries.enqueue(["nothing"] * jobs, [None] * jobs, [0] * jobs)
        queue = PgQueuer(driver)
        left = jobs

        @queue.entrypoint("nothing")
        async def nothing(_job: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                queue.shutdown.set()

        began = time.perf_counter()
        await queue.run(
            dequeue_timeout=timedelta(seconds=1),
            batch_size=max(1, in_flight // 2),
            max_concurrent_tasks=max(2, in_flight),
        )
        print(json.dumps({"seconds": time.perf_counter() - began}))


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
