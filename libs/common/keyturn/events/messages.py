"""What became of the mails to people. `subject` is the purchase id."""

from typing import Literal

from keyturn.events.envelope import Event


class MessageEvent(Event):
    """The fields of both."""

    message_id: str
    template: str


class MessageSent(MessageEvent, wire="message.sent.v1", publisher="notifier"):
    """The mail server took the message."""

    attempts: int


class MessageFailed(MessageEvent, wire="message.failed.v1", publisher="notifier"):
    """The message will not be tried again: a hard bounce, or its attempts are used up."""

    attempts: int
    code: str | None = None
    reason: str


class SetupLinkUnsent(Event, wire="setup_link.unsent.v1", publisher="notifier"):
    """The mail with this setup link never went out, and never will: the provisioner issues a new link."""

    link_id: str
    reason: Literal["link_expired"]
