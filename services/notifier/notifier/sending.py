"""One mail: begin an attempt, build and send it outside any transaction, write down what came of it.

A crash after the server took the mail and before our commit leaves an attempt without outcome, and nobody can know.
The mail is then sent again, byte for byte under the same Message-ID: a setup link that comes twice harms less than
one that never comes, and mail stores that look for duplicates drop the second.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from prometheus_client import Counter

from keyturn.database import Transaction
from keyturn.errors import GiveUp, Retry, Wait
from keyturn.events import MessageFailed, MessageSent, SetupLinkUnsent
from keyturn.log import correlated, get_logger
from keyturn.work import RetryPolicy, Work
from notifier import repository
from notifier.channels.smtp import Bounced, Deferred, Unsettled
from notifier.deps import NotifierDeps
from notifier.domain import (
    AUDIENCE,
    CODE_CLASSES,
    ERASED,
    FINAL_CODES,
    GAVE_UP,
    IN_ORDER,
    LINK_EXPIRED,
    SUPERSEDED,
    Outcome,
    State,
    alerts,
    code_class,
    moved,
    next_look,
)
from notifier.letters import Order, Reader
from notifier.repository import Message

MAIL = "mail"
# With full jitter about two days: as long as mail servers themselves keep trying, in order of magnitude.
RETRY = RetryPolicy(attempts=600, first=timedelta(seconds=1), cap=timedelta(minutes=10))
LOOK_AGAIN = timedelta(seconds=2)

FAILED = Counter("keyturn_messages_failed", "Messages that were given up", ["template", "code"])
for _template in AUDIENCE:
    for _class in CODE_CLASSES:
        FAILED.labels(_template, _class)  # from the start: the first failure is then an increase, too

log = get_logger()


@dataclass(frozen=True)
class Begun:
    """An attempt that has been written down: what to send, and to whom."""

    message: Message
    order: Order
    number: int


async def send_mail(work: Work, deps: NotifierDeps) -> None:
    begun = await _begin(work, deps)
    if begun is None:
        return
    with correlated(message_id=str(begun.message.id)):
        try:
            with deps.desk.letter(begun.message, begun.order) as letter:
                reply = await deps.mailer.send(letter)
        except Bounced as bounce:
            await _bounced(work, bounce)
        except Deferred as deferral:
            await _deferred(work, deferral)
            raise Retry(f"mail server: {deferral.code}") from deferral
        else:
            await _sent(work, reply)


async def mail_died(work: Work, error: BaseException, tx: Transaction) -> None:
    """The work is dead; so is the message, until an operator has the one or the other tried again."""
    message = await repository.message(tx, UUID(work.key), lock=True)
    if message and message.state == "pending":
        await repository.end_attempt(tx, message.id, "unknown", None, None)
        await _fail(tx, message, GAVE_UP, type(error).__name__)


async def _begin(work: Work, deps: NotifierDeps) -> Begun | None:
    """None where there is nothing to send any more."""
    async with work.transaction("begin") as tx:
        message = await repository.message(tx, UUID(work.key), lock=True)
        if message is None or not _wanted(message):
            return None
        await repository.end_attempt(tx, message.id, "unknown", None, "interrupted")
        if await _overtaken(tx, message):
            return None
        if message.template in IN_ORDER and await repository.earlier_pending(tx, message, IN_ORDER):
            raise Wait("earlier_message", "an earlier mail about this is still to be sent", until=tx.now + LOOK_AGAIN)
        order = await _order(tx, message, deps)
        number = await repository.start_attempt(tx, message, order.reader.email)
    return Begun(message, order, number)


def _wanted(message: Message) -> bool:
    """A message whose work died is wanted again: this run is an operator's retry of that work."""
    if message.state == "failed" and message.code == GAVE_UP:
        _move(message, "pending")
        repository.close(message, "pending", None)
    return message.state == "pending"


async def _overtaken(tx: Transaction, message: Message) -> bool:
    """A link that has expired is not sent, nor a setup link that a newer one replaced, nor anything to a customer who
    was forgotten."""
    contact = await repository.contact(tx, message.purchase_id) if message.purchase_id else None
    if contact and contact.version == repository.FORGOTTEN and AUDIENCE[message.template] == "customer":
        await _fail(tx, message, ERASED, "its customer was forgotten")
        return True
    if message.expires_at is None:
        return False
    newest = await repository.newest_link(tx, message.purchase_id) if message.link_number else None
    if newest and message.link_number and message.link_number < newest:
        await _fail(tx, message, SUPERSEDED, "a newer setup link was issued")
        return True
    if message.expires_at <= tx.now:
        await _fail(tx, message, LINK_EXPIRED, "the link expired before it could be sent")
        if message.template == "setup":
            unsent = SetupLinkUnsent(subject=message.subject, time=tx.now, link_id=message.fact, reason="link_expired")
            tx.publish(unsent)
        return True
    return False


async def _order(tx: Transaction, message: Message, deps: NotifierDeps) -> Order:
    contact = await repository.contact(tx, message.purchase_id) if message.purchase_id else None
    operator = Reader(deps.settings.operator_email) if AUDIENCE[message.template] == "operator" else None
    if contact is None:
        if operator is None:
            until = next_look(tx.now, tx.waiting_since)
            raise Wait("no_contact", "billing has not told us the customer yet", until=until)
        return Order(operator)
    customer = Reader(contact.email, contact.name, contact.locale, contact.timezone)
    return Order(operator or customer, contact.product, contact.store_name, contact.amount, contact.currency)


async def _sent(work: Work, reply: str) -> None:
    async with work.transaction("sent", finish=True) as tx:
        message = await _held(tx, work)
        await repository.end_attempt(tx, message.id, "sent", reply[:3], reply)
        if _move(message, "sent"):
            repository.close(message, "sent", tx.now)
            repository.forget_sealed(message)
            tx.publish(
                MessageSent(
                    subject=message.subject,
                    time=tx.now,
                    message_id=str(message.id),
                    template=message.template,
                    attempts=message.attempts,
                )
            )
    log.info("message_sent", template=message.template, attempts=message.attempts)


async def _bounced(work: Work, bounce: Bounced) -> None:
    async with work.transaction("bounced", finish=True) as tx:
        message = await _held(tx, work)
        await repository.end_attempt(tx, message.id, "bounced", bounce.code, bounce.reply)
        await _fail(tx, message, bounce.code, "the mail server refused the recipient or the mail for good")
    log.warning("message_bounced", template=message.template, code=bounce.code)


async def _deferred(work: Work, deferral: Deferred) -> None:
    outcome: Outcome = "unknown" if isinstance(deferral, Unsettled) else "deferred"
    async with work.transaction("deferred") as tx:
        await repository.end_attempt(tx, UUID(work.key), outcome, deferral.code, deferral.reply)


async def _held(tx: Transaction, work: Work) -> Message:
    message = await repository.message(tx, UUID(work.key), lock=True)
    if message is None:
        raise GiveUp("the message is gone")
    return message


async def _fail(tx: Transaction, message: Message, code: str, reason: str) -> None:
    if not _move(message, "failed"):
        return
    repository.close(message, "failed", tx.now, code, reason)
    if code in FINAL_CODES:
        repository.forget_sealed(message)
    tx.publish(
        MessageFailed(
            subject=message.subject,
            time=tx.now,
            message_id=str(message.id),
            template=message.template,
            attempts=message.attempts,
            code=code,
            reason=reason,
        )
    )
    tx.on_commit(FAILED.labels(message.template, code_class(code)).inc)
    if alerts(message.template, code):
        await _alert(tx, message, code, reason)


async def _alert(tx: Transaction, message: Message, code: str, reason: str) -> None:
    """A mail to the operator, in the same commit. One that was tried again and failed again is another fact."""
    details = {"message_id": str(message.id), "template": message.template, "code": code, "reason": reason}
    alert_id = await repository.add_message(
        tx,
        "message_failed",
        f"{message.id}/{message.attempts}",
        subject=message.subject,
        purchase_id=message.purchase_id,
        details=details | {"attempts": message.attempts},
    )
    if alert_id:
        tx.schedule(MAIL, str(alert_id), subject=message.subject)


def _move(message: Message, wanted: State) -> bool:
    return moved(message.state, wanted)
