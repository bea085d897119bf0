"""What the notifier's work and routes are given: made once in `app.py`, another set in tests."""

from dataclasses import dataclass

from keyturn.clock import Clock
from keyturn.database import Database
from keyturn.sealing import KeyRing
from notifier.channels.smtp import Mailer
from notifier.letters import Desk
from notifier.settings import NotifierSettings


@dataclass(frozen=True)
class NotifierDeps:
    database: Database
    clock: Clock
    settings: NotifierSettings
    mail_keys: KeyRing
    desk: Desk
    mailer: Mailer
