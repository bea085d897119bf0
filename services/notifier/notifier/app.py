"""Wires the notifier: the one place that knows every part."""

from keyturn.bus import Bus, connect_bus
from keyturn.clock import Clock
from keyturn.database import Database
from keyturn.sealing import KeyRing
from keyturn.service import Service
from notifier.api import router
from notifier.channels.smtp import SmtpMailer
from notifier.deps import NotifierDeps
from notifier.handlers import HANDLERS, WORK
from notifier.letters import Desk
from notifier.settings import NotifierSettings

NAME = "notifier"


def build(settings: NotifierSettings, *, clock: Clock | None = None, bus: Bus | None = None) -> Service[NotifierDeps]:
    clock = clock or settings.make_clock()
    database = Database(settings.database_url, service=NAME, clock=clock)
    keys = KeyRing.from_text(settings.mail_keys.get_secret_value())
    desk = Desk(sender=settings.smtp_from, public_url=settings.public_url, keys=keys)
    mailer = SmtpMailer(
        host=settings.smtp_host,
        port=settings.smtp_port,
        tls=settings.smtp_tls,
        username=settings.smtp_username,
        password=settings.smtp_password.get_secret_value(),
        timeout=settings.smtp_timeout,
        name=desk.domain,
        ca_file=settings.smtp_ca_file,
    )
    return Service(
        name=NAME,
        settings=settings,
        clock=clock,
        database=database,
        bus=bus or connect_bus(settings.bus_url, service=NAME, replica=settings.replica),
        deps=NotifierDeps(database, clock, settings, keys, desk, mailer),
        handlers=HANDLERS,
        work=WORK,
        routers=[router],
        package=NAME,
        port=settings.port,
        rings={"MAIL_KEYS": keys},
    )
