"""Where a list or a stream goes on is the caller's word: any other than ours is refused, and never a failure."""

import base64

import pytest

from support.house import House

pytestmark = pytest.mark.servers
ROW = "018f0000-0000-7000-8000-000000000001"
MOMENTS = (
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00", "2026-01-01", "20260101T00Z",
    "2026-01-01T00:00:00+23:59:59.999999",
)  # fmt: skip
LISTS = (
    "/api/installs", "/api/orphans", "/api/certificates", "/api/purchases", "/api/payments", "/api/messages", "/api/audit", "/api/webhooks",
    "/api/work?service=gateway", "/api/work?service=billing",
)  # fmt: skip


def cursors() -> list[str]:
    plain = [f"{moment}{mark}{ROW}" for moment in MOMENTS for mark in "|~"]
    coded = [base64.urlsafe_b64encode(one.encode()).decode() for one in plain]
    return [*plain, *coded, "9" * 18, "é", "~", "=", "A===", ROW]


@pytest.mark.parametrize("path", LISTS)
async def test_a_cursor_that_somebody_made_is_refused_or_read(home: House, path: str) -> None:
    failed = []
    for cursor in cursors():
        answer = await home.client.get(
            "http://gateway" + path.partition("?")[0],
            params=dict([pair.split("=") for pair in path.partition("?")[2].split("&") if pair]) | {"cursor": cursor},
            headers=home.proof("gateway", path, "admin"),
        )
        if answer.status_code >= 500:
            failed.append((cursor, answer.text))
    assert not failed
