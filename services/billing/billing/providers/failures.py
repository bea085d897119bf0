"""What an adapter needs to tell apart among refusals."""

from keyturn.errors import GiveUp


class NotFound(GiveUp):
    """The provider knows no object with this id."""
