"""procrastinate: drain a backlog of jobs that do nothing; prints the seconds it took."""

import asyncio
import json
import sys
import time

from procrastinate import App, PsycopgConnector


async def main(url: str, jobs: int, in_flight: int) -> None:
    app = App(connector=PsycopgConnector(conninfo=url, min_size=2, max_size=max(10, in_flight // 2)))

    @app.task(name="nothing")
    async def nothing() -> None:
        pass

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await nothing.batch_defer_async(*({} for _ in range(jobs)))
        began = time.perf_counter()
        await app.run_worker_async(concurrency=in_flight, wait=False, install_signal_handlers=False)
        print(json.dumps({"seconds": time.perf_counter() - began}))


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
