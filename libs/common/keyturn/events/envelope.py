"""One event: a frozen pydantic model that travels as a structured CloudEvents 1.0 document.

The context attributes (`id`, `subject`, `time`, ...) stand beside the event's own fields on the class, so that a
handler reads `event.subject` and `event.amount` alike; on the wire they are top-level members around `data`.
"""

import os
import time as _time
from datetime import datetime
from typing import Any, ClassVar, Self
from uuid import UUID, uuid5

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_serializer
from pydantic_core import to_json

CONTENT_TYPE = "application/cloudevents+json"
PLAIN = r"^[^\x00-\x1f\x7f-\x9f]*$"  # CloudEvents 1.0: no attribute holds a control character; no database takes NUL
ATTRIBUTES = ("id", "subject", "time", "causationid", "traceparent")
_CONTEXT = set(ATTRIBUTES)

# The name space of ids derived from what a provider says, so that a replay of the same fact yields the same id.
_DERIVED = UUID("6f0e6c1e-6d0a-5f0c-9a8e-0b1f6f2a7c11")


def uuid7() -> UUID:
    """A new time-ordered UUID (RFC 9562, version 7): 48 bits of milliseconds, 74 random bits."""
    value = int.from_bytes(os.urandom(10), "big")
    high = _time.time_ns() // 1_000_000 & (1 << 48) - 1
    return UUID(int=high << 80 | 0x7 << 76 | (value >> 68) << 64 | 0b10 << 62 | value & (1 << 62) - 1)


def derived_id(provider: str, object_id: str, effect: str) -> UUID:
    """The id of the event about one effect of one provider object: equal for every notification of the same fact."""
    return uuid5(_DERIVED, f"{provider}\0{object_id}\0{effect}")


class Unreadable(ValueError):
    """Bytes that are no event of ours; the text names what is wrong and quotes nothing."""


class Event(BaseModel):
    """Base of all events. A subclass states its wire name and who alone may publish it:

    `class PaymentCaptured(Event, wire="payment.captured.v1", publisher="gateway")`
    """

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants", allow_inf_nan=False)

    wire: ClassVar[str] = ""
    publisher: ClassVar[str] = ""  # a service's name, or "*" where every service may publish it

    id: UUID = Field(default_factory=uuid7)
    subject: str
    time: AwareDatetime
    causationid: str | None = None
    traceparent: str | None = None

    def __init_subclass__(cls, *, wire: str = "", publisher: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.wire = wire or cls.wire
        cls.publisher = publisher or cls.publisher

    @field_serializer("time")
    def _utc(self, value: datetime) -> str:
        return value.isoformat()

    def to_bytes(self, source: str) -> bytes:
        """The structured CloudEvent as it goes over the wire; `source` is the publishing service's name."""
        context = {"specversion": "1.0", "source": f"/{source}", "type": self.wire}
        context |= {name: value for name in ATTRIBUTES if (value := getattr(self, name)) is not None}
        context["time"] = self.time.isoformat()
        data = self.__pydantic_serializer__.to_json(self, exclude=_CONTEXT)
        return b'%b,"data":%b}' % (to_json(context)[:-1], data)


EventClass = type[Event]  # `type` means the wire name inside Envelope


class Envelope(BaseModel):
    """An event of any type, known or not: its context attributes, and `data` as it came."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: str
    id: UUID
    source: str = Field(min_length=2, pattern=PLAIN)
    type: str = Field(min_length=1, max_length=255, pattern=PLAIN)
    subject: str = Field(min_length=1, max_length=255, pattern=PLAIN)
    time: AwareDatetime
    causationid: str | None = Field(default=None, pattern=PLAIN)
    traceparent: str | None = Field(default=None, pattern=PLAIN)
    data: dict[str, Any]

    @property
    def publisher(self) -> str:
        """The service that says it published this."""
        return self.source.removeprefix("/")

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        """Raises `Unreadable` where the bytes are no CloudEvents document with the attributes we need."""
        try:
            envelope = cls.model_validate_json(body)
        except ValueError as error:
            raise Unreadable(_without_input(error)) from None
        if envelope.specversion != "1.0":
            raise Unreadable(f"specversion is {envelope.specversion[:10]!r}, not '1.0'")
        return envelope

    def open(self, kind: EventClass) -> Event:
        """The typed event. Raises `Unreadable` where `data` does not fit the class."""
        context = {name: getattr(self, name) for name in ATTRIBUTES}
        try:
            return kind.model_validate(self.data | context)
        except ValueError as error:
            raise Unreadable(_without_input(error)) from None


def _without_input(error: ValueError) -> str:
    """A validation error's places and reasons, without the values: those may hold what must not be logged."""
    from pydantic import ValidationError  # noqa: PLC0415 - only on the error path

    if not isinstance(error, ValidationError):
        return type(error).__name__
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'document'}: {e['type']}" for e in found[:5])
