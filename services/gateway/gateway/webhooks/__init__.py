"""From a provider's webhook to our events: pure functions, one module a provider."""

from collections.abc import Iterable
from typing import NamedTuple

from gateway.webhooks import razorpay, stripe
from gateway.webhooks.notice import Arrival, Notice, Source
from gateway.webhooks.payload import UnreadableError
from keyturn import tracing
from keyturn.events import Event, Provider, WebhookUnreadable, derived_id
from keyturn.log import get_logger

SOURCES: dict[Provider, Source] = {"stripe": stripe.SOURCE, "razorpay": razorpay.SOURCE}

log = get_logger()


class Reading(NamedTuple):
    """What a webhook says. `cause`: why it cannot be read, although it is signed."""

    notice: Notice
    facts: tuple[Event, ...]
    cause: str | None = None

    @property
    def state(self) -> str:
        if self.cause:
            return "unreadable"
        return "read" if self.facts else "ignored"


def read(source: Source, arrival: Arrival) -> Reading:
    """Never raises: a provider that is answered with an error sends the same again, and in the end switches us off."""
    notice = source.notice(arrival)
    try:
        return Reading(notice, tuple(_facts(source, notice)))
    except UnreadableError as error:
        return Reading(notice, (), str(error))
    except Exception as error:
        log.exception("webhook_reader_failed", provider=source.provider, type=notice.type)
        return Reading(notice, (), f"our reader failed with {type(error).__name__}")


def _facts(source: Source, notice: Notice) -> Iterable[Event]:
    if not notice.type:
        raise UnreadableError("event.type")
    reader = None if notice.others else source.readers.get(notice.type)
    return reader(notice) if reader else ()


def alarm(reading: Reading, webhook_id: str) -> WebhookUnreadable:
    """The event that tells operators of a webhook that waits to be reprocessed."""
    notice = reading.notice
    return WebhookUnreadable(
        id=derived_id(notice.provider, notice.id, "unreadable"),
        subject=f"{notice.provider}:{notice.id}",
        time=notice.time,
        causationid=notice.id,
        traceparent=tracing.traceparent(),
        provider=notice.provider,
        webhook_id=webhook_id,
        provider_type=notice.type or None,
        cause=reading.cause or "",
    )


__all__ = ["SOURCES", "Arrival", "Notice", "Reading", "Source", "alarm", "read"]
