"""Cursors of lists that are read newest first: the place of the last row, so that new rows shift nothing."""

import base64
from datetime import datetime
from uuid import UUID

from billing.errors import invalid_cursor
from keyturn.clock import moment_of

LONGEST = 200  # rows a page


def cursor_of(at: datetime, row: UUID) -> str:
    return base64.urlsafe_b64encode(f"{at.isoformat()}|{row}".encode()).decode().rstrip("=")


def place_of(cursor: str | None) -> tuple[datetime, UUID] | None:
    """Raises the `invalid_cursor` problem."""
    if not cursor:
        return None
    try:
        at, _, row = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition("|")
        return moment_of(at), UUID(row)
    except ValueError:
        raise invalid_cursor() from None
