"""How long it takes after a fault until everything goes its way again."""

import asyncio
import time
from datetime import timedelta

import asyncpg

from chaos.world import World
from keyturn.bus.link import HEARTBEAT_SECONDS
from keyturn.http import new_client

LIMIT = 3 * (HEARTBEAT_SECONDS + 1) + 5.0  # seconds
GIVE_UP = 4 * LIMIT
LOOK_EVERY = 0.3
BACK = timedelta(minutes=10)


async def resumed(world: World) -> float:
    """The seconds until all that was published before now has been handled by all, and every replica says it is ready."""
    began, now = time.monotonic(), world.system.clock.now()
    while time.monotonic() - began < GIVE_UP:
        try:
            async with asyncio.timeout(LIMIT):
                if await world.traces.arrived(now - BACK, now) and await _all_ready(world):
                    break
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await world.traces.close()  # the database was killed, or the connection stood still: a new one next time
        await asyncio.sleep(LOOK_EVERY)
    return time.monotonic() - began


async def _all_ready(world: World) -> bool:
    async with new_client(timeout=3) as client:
        asked = (client.get(f"http://127.0.0.1:{port}/readyz") for port in world.replicas.ports.values())
        answers = await asyncio.gather(*asked, return_exceptions=True)
    return all(not isinstance(answer, BaseException) and answer.is_success for answer in answers)
