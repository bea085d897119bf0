"""Starting what is not there yet, keeping running what breaks, and closing what will not close."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from keyturn.database import away
from keyturn.errors import Unavailable
from keyturn.log import get_logger

Step = Callable[[], Awaitable[None]]

STOP_WITHIN = 25.0  # seconds for running work to finish; orchestrators kill after 30
LONGEST_PAUSE = 5.0  # seconds between two tries to reach the database, or to run a background task again

logger = get_logger()


async def until_there(step: Step) -> None:
    """Tries again, with growing jittered pauses, while the database is away."""
    pause = 0.1
    while True:
        try:
            return await step()
        except Exception as error:
            if not (isinstance(error, OSError) or _is_away(error)):
                raise
            logger.warning("database_away", error=type(error).__name__)
        await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - spreads replicas, protects nothing
        pause = min(pause * 2, LONGEST_PAUSE)


async def supervised(step: Step) -> None:
    """Run again when it breaks. That is a bug, unless the database is away."""
    while True:
        try:
            return await step()
        except Exception as error:
            task = getattr(step, "__qualname__", type(step).__name__)
            if _is_away(error):
                logger.warning("background_task_waits", task=task, error=type(error).__name__)
            else:
                logger.exception("background_task_failed", task=task)
        await asyncio.sleep(LONGEST_PAUSE)


def _is_away(error: Exception) -> bool:
    return isinstance(error, Unavailable) or away(error)


async def closed(step: Step) -> None:
    """One part that cannot stop in time must not keep the others from closing."""
    try:
        async with asyncio.timeout(STOP_WITHIN):
            await step()
    except Exception:
        logger.exception("part_did_not_stop", part=getattr(step, "__qualname__", type(step).__name__))
