"""What `make year` does, with a few customers."""

import pytest

from support.databases import DatabaseUrl
from year.lives import lives
from year.run import live

CUSTOMERS = 12


@pytest.mark.servers
@pytest.mark.timeout(240)
async def test_the_books_of_a_year_balance_and_its_runs_once_more_change_nothing(database_url: DatabaseUrl) -> None:
    ledger = await live(await database_url("billing"), CUSTOMERS, print)
    assert not ledger.wrong, ledger
    assert min(ledger.charges["paid"], ledger.charges["failed"]) > 0, ledger
    assert set(ledger.ends) == {"cancelled", "nonpayment"}
    assert set(ledger.deletions) == {"0", "30"}  # at once of who never paid, and after what the policy says
    assert sum(ledger.deletions.values()) == CUSTOMERS
    assert ledger.lost, ledger
    assert sum(ledger.taken.values()) > 0


def test_lives_are_told_by_their_number() -> None:
    assert lives(40) == lives(40)
    assert {life.zone for life in lives(40)} != {"UTC"}
