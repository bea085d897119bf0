"""DESIGN §6 as a whole: what `make chaos` does, with small numbers."""

import shutil
import sys

import pytest

from chaos.faults import KINDS, schedule
from chaos.journeys import plans
from chaos.run import run, table, workplace

SEED = 120


@pytest.mark.servers
@pytest.mark.xdist_group("chaos")
@pytest.mark.timeout(240)
async def test_rules_1_to_16_whatever_breaks_nothing_is_lost_or_done_twice(capsys: pytest.CaptureFixture[str]) -> None:
    folder = workplace(SEED)
    report = await run(folder, journeys=6, faults=3, seed=SEED, say=print)
    with capsys.disabled():
        sys.stdout.write(f"{table(report)}\n")
    assert not report.wrong, f"see {folder}"
    shutil.rmtree(folder, ignore_errors=True)


def test_a_seed_tells_the_faults_and_the_customers() -> None:
    assert schedule(7, 50) == schedule(7, 50) != schedule(8, 50)
    assert plans(7, 50) == plans(7, 50) != plans(8, 50)
    assert {fault.what for fault, *_ in schedule(7, len(KINDS))} == set(KINDS)


def test_some_strikes_are_two_faults_that_do_not_undo_each_other() -> None:
    pairs = [strike for seed in range(20) for strike in schedule(seed, 50) if len(strike) == 2]
    assert 150 < len(pairs) < 350
    assert all(first.whom != second.whom for first, second in pairs)
    assert not [pair for pair in pairs if {"fill queue", "broker"} <= {pair[0].what, pair[1].whom}]
