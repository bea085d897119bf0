"""A story of one purchase for the gateway's journeys: the events as the services publish them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from gateway.handlers import on_any_event
from keyturn.database import Database
from keyturn.events import (
    Contact,
    Envelope,
    Event,
    InstallActivated,
    InstallReady,
    InstallRequested,
    InstallStepChanged,
    MessageSent,
    PaymentCaptured,
    PurchaseOpened,
    PurchasePaid,
    Sealed,
    SetupLinkIssued,
)

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
EMAIL = "ada@example.org"


class Story:
    """`story.paid`, `story.ready`, ...: each a second after the one before."""

    def __init__(self) -> None:
        self.id = uuid4()
        subject = str(self.id)
        job: dict[str, Any] = {"subject": subject, "job_id": "j1", "action": "provision"}
        times = (START + timedelta(seconds=n) for n in range(100))
        bought: dict[str, Any] = {
            "customer_id": "c",
            "product": "shop",
            "plan": "small",
            "amount": 4900,
            "currency": "USD",
        }
        self.opened = PurchaseOpened(
            subject=subject,
            time=next(times),
            price="p",
            contact=Contact(email=EMAIL),
            parameters={"subdomain": "ada"},
            **bought,
        )
        session = f"cs_{subject[:8]}"
        self.captured = PaymentCaptured(
            subject=f"stripe:{session}", time=next(times), provider="stripe", livemode=False, payment_key=session,
            amount=4900, currency="USD", refs={"session": session},
        )  # fmt: skip
        self.paid = PurchasePaid(
            subject=subject, time=next(times), payment_id="p", payment_key=session, found_by="webhook",
            causationid=str(self.captured.id), **bought,
        )  # fmt: skip
        self.requested = InstallRequested(time=next(times), blueprint="b", plan="small", steps=["app", "health"], **job)
        self.built = InstallStepChanged(time=next(times), step="app", kind="local.process", status="completed", **job)
        self.probed = InstallStepChanged(time=next(times), step="health", kind="http.check", status="completed", **job)
        self.ready = InstallReady(
            time=next(times), url="https://ada.example", hostname="ada.example", setup=True, **job
        )
        self.link = SetupLinkIssued(
            subject=subject,
            time=next(times),
            link_id="l",
            token=Sealed("x1.k.c2VjcmV0"),
            number=1,
            expires_at=START + timedelta(days=1),
        )
        self.mailed = MessageSent(subject=subject, time=next(times), message_id="m", template="setup", attempts=1)
        self.activated = InstallActivated(subject=subject, time=next(times), url="https://ada.example")

    @property
    def whole(self) -> list[Event]:
        return [value for value in vars(self).values() if isinstance(value, Event)]


def envelope(event: Event) -> Envelope:
    publisher = event.publisher if event.publisher != "*" else "billing"
    return Envelope.from_bytes(event.to_bytes(publisher))


async def hear(database: Database, *events: Event | Envelope) -> None:
    """What the gateway's consumer does with each event."""
    for event in events:
        told = event if isinstance(event, Envelope) else envelope(event)
        async with database.transaction("on_any_event", cause=told) as tx:
            await on_any_event(told, tx)


def strange(subject: str | UUID, wire: str, data: dict[str, Any]) -> Envelope:
    """An event that no version of the library knows."""
    return Envelope(
        specversion="1.0", id=uuid4(), source="/billing", type=wire, subject=str(subject), time=START, data=data
    )
