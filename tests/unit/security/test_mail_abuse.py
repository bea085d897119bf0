"""Anybody may order in somebody else's name, for nothing where a plan is free: our mail must not carry their message."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from uuid import UUID

import pytest

from keyturn.events import SetupLinkIssued
from keyturn.sealing import KeyRing, new_key_line
from notifier.letters import Desk, Order, Reader
from notifier.repository import Message

PURCHASE = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
RING = KeyRing.from_text(new_key_line("k"))
DESK = Desk(sender="Shop <shop@keyturn.example>", public_url="https://shop.example/", keys=RING)


def mail(*, name: str = "Ada", store_name: str = "Ada's shop") -> str:
    """The headers and both bodies of a setup mail."""
    token = RING.seal("t0ken", place=(SetupLinkIssued.wire, str(PURCHASE), "token")).ciphertext
    message = Message(
        id=PURCHASE, subject=str(PURCHASE), purchase_id=PURCHASE, template="setup", details={"url": None}, token=token,
        credentials=None, created=datetime(2026, 11, 21, 9, tzinfo=UTC), expires_at=datetime(2026, 11, 22, tzinfo=UTC),
    )  # fmt: skip
    with DESK.letter(message, Order(Reader("victim@example.com", name), "eBuilder", store_name)) as letter:
        parsed = message_from_bytes(letter.as_bytes(), policy=policy.default)
    bodies = [part.get_content() for part in parsed.walk() if not part.is_multipart()]
    return "\n".join([parsed["Subject"], *bodies])


@pytest.mark.parametrize(
    "text",
    [
        "Your account is locked: https://evil.example/login",
        "Go to evil.example now",
        "www.evil.example",
        "t.me/evil",
        "call us@evil.example",
        "\\\\evil\\share",
        "evil\u2024example",  # a dot by another name, which some readers turn into a link
        "Dear customer, your parcel is waiting for you and will be sent back unless you act before tomorrow evening",
    ],
)
def test_a_message_in_a_name_is_not_sent_on(text: str) -> None:
    telling = text.rsplit(maxsplit=1)[-1]
    assert telling not in mail(store_name=text)
    assert telling not in mail(name=text)
    assert "eBuilder is ready" in mail(store_name=text)


@pytest.mark.parametrize("name", ["Ada's shop", "St. Mary & Sons", "7-Eleven", "Café №1!", "Läden von A.B. Müller"])
def test_a_shops_name_stays_in_its_mail(name: str) -> None:
    assert mail(store_name=name).startswith(f"{name} is ready")
