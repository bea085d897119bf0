"""Every table of every service is either in the export of a customer's data, or the page says why it is not."""

from collections import Counter

import pytest

from support import personal

SERVICES = list(personal.METADATA)


@pytest.mark.parametrize("service", SERVICES)
def test_the_page_tells_of_every_table_once_and_of_no_other(service: str) -> None:
    """A new one: put it into `PERSONAL` or `OF_CUSTOMER` where it holds anything about a customer, have it erased, and
    tell in docs/security.md what becomes of it."""
    counted = Counter(one.table for one in personal.told() if one.service == service)
    assert counted == Counter(dict.fromkeys(personal.METADATA[service].tables, 1))


@pytest.mark.parametrize("service", SERVICES)
def test_what_the_page_says_is_in_the_export_is_and_nothing_else(service: str) -> None:
    told = {one.table for one in personal.told() if one.service == service and one.exported.startswith("yes")}
    assert told == personal.exported(service)
    refused = [one for one in personal.told() if not one.exported.startswith(("yes", "no: "))]
    assert refused == []


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_left_out_of_the_export_is_a_column_that_there_is(service: str) -> None:
    for tables in (personal.OF_PURCHASE[service], personal.OF_CUSTOMER.get(service, {})):
        for table, (_, hidden) in tables.items():
            assert set(hidden) <= set(personal.METADATA[service].tables[table].columns.keys())


def test_what_may_be_kept_are_columns_that_there_are_each_with_a_reason() -> None:
    for column in personal.kept():
        service, table, name = column.split(".")
        assert name in personal.METADATA[service].tables[table].columns
