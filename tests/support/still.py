"""A clock for what is told to the second: on it a test takes no time."""

from datetime import datetime

from keyturn.clock import MovableClock


class StillClock(MovableClock):
    """Goes on only when it is moved."""

    def __init__(self, moment: datetime) -> None:
        super().__init__()
        self._moment = moment

    def now(self) -> datetime:
        return self._moment + self._offset
