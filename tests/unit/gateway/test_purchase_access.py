"""Access tokens and tickets: what proves that somebody opened a checkout."""

import base64
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from pydantic import SecretStr

from gateway.access import LIFETIME, Access, Kind

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ACCESS = Access(SecretStr("k" * 40))


@pytest.mark.parametrize("kind", ["access", "ticket"])
def test_token_is_good_for_its_purchase_until_it_ends(kind: Kind) -> None:
    purchase = uuid4()
    token = ACCESS.sign(purchase, kind, NOW)
    assert ACCESS.allows(token, purchase, kind, NOW + LIFETIME[kind] - timedelta(seconds=1))
    assert not ACCESS.allows(token, purchase, kind, NOW + LIFETIME[kind])
    assert not ACCESS.allows(token, uuid4(), kind, NOW)


def test_ticket_is_no_access_token_and_the_other_way_round() -> None:
    purchase = uuid4()
    assert not ACCESS.allows(ACCESS.sign(purchase, "ticket", NOW), purchase, "access", NOW)
    assert not ACCESS.allows(ACCESS.sign(purchase, "access", NOW), purchase, "ticket", NOW)


def test_other_key_signs_nothing_that_counts() -> None:
    purchase = uuid4()
    assert not ACCESS.allows(Access(SecretStr("x" * 40)).sign(purchase, "access", NOW), purchase, "access", NOW)


@pytest.mark.parametrize("place", range(56))
def test_token_changed_in_any_byte_is_refused(place: int) -> None:
    purchase = uuid4()
    raw = bytearray(base64.urlsafe_b64decode(ACCESS.sign(purchase, "access", NOW)))
    raw[place] ^= 1
    assert not ACCESS.allows(base64.urlsafe_b64encode(raw).decode(), purchase, "access", NOW)


@pytest.mark.parametrize("token", ["", "x", "é", "AAAA", "A" * 76, "=" * 8, "kt_" + "A" * 43])
def test_what_is_no_token_is_refused(token: str) -> None:
    assert not ACCESS.allows(token, uuid4(), "access", NOW)
