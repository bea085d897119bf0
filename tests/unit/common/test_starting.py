"""What a service costs before anybody asks it anything: its imports, and how late its loop is."""

import asyncio
import subprocess
import sys
import time
from typing import Any

import pytest
import structlog
from prometheus_client import REGISTRY

from keyturn import lag, lifecycle
from keyturn.errors import TooSlow

IMPORTS = """
import sys
import gateway.app, billing.app, provisioner.app, notifier.app
print(sorted({"alembic", "mako"} & set(sys.modules)))
"""


def test_no_service_holds_what_only_a_migration_needs() -> None:
    asked = subprocess.run([sys.executable, "-c", IMPORTS], check=True, capture_output=True, text=True)
    assert asked.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("error", "event"),
    [(TooSlow("a statement"), "background_task_waits"), (LookupError("a bug"), "background_task_failed")],
)
async def test_a_background_task_is_a_bug_only_where_it_did_not_break_over_the_database(
    error: Exception, event: str, wait_until: Any
) -> None:
    async def breaks() -> None:
        raise error

    with structlog.testing.capture_logs() as logged:
        task = asyncio.create_task(lifecycle.supervised(breaks))
        await wait_until(lambda: logged)
        task.cancel()
        await asyncio.wait([task])
    assert [one["event"] for one in logged] == [event]


async def test_a_loop_that_was_held_up_shows_in_the_metric(wait_until: Any) -> None:
    watching = asyncio.create_task(lag.watch("held_up"))
    await wait_until(lambda: _late("count"))
    time.sleep(0.3)  # noqa: ASYNC251 - what holds the loop up
    await wait_until(lambda: _late("sum") > 0.2)
    watching.cancel()
    await asyncio.wait([watching])


def _late(what: str) -> float:
    return REGISTRY.get_sample_value(f"keyturn_loop_lag_seconds_{what}", {"service": "held_up"}) or 0.0
