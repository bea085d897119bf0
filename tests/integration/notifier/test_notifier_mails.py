"""One mail a fact, on a real database and a real mail server."""

from datetime import timedelta
from functools import partial
from typing import Any, Literal

import pytest
from prometheus_client import REGISTRY

from keyturn.errors import Problem
from keyturn.events import (
    AuditFound,
    CertificateExpiring,
    CreditNoteIssued,
    CustomerErasureWanted,
    InstallResumed,
    InvoicePaid,
    MessageFailed,
    MessageSent,
    OrphanFound,
    PaymentNeedsReview,
    PurchaseFailed,
    SetupLinkUnsent,
    SubscriptionPastDue,
    SubscriptionPlanChanged,
    SubscriptionRenewalDue,
    SubscriptionWarned,
    WebhookUnreadable,
    derived_id,
    uuid7,
)
from support.notifier import ADA, OPERATOR, TOKEN, World
from support.waiting import wait_until

pytestmark = pytest.mark.servers


def failures(template: str, code: str) -> float:
    return REGISTRY.get_sample_value("keyturn_messages_failed_total", {"template": template, "code": code}) or 0


async def test_the_customer_gets_the_setup_link(world: World) -> None:
    await world.hear(world.opened(), world.link())
    (mail,) = await world.mailbox.wait_for(ADA)
    assert mail.subject == "Ada's shop is ready: choose your password"
    assert f"https://shop.example/setup/{TOKEN}" in mail.text
    assert f"https://shop.example/setup/{TOKEN}" in mail.html
    assert mail.message_id == f"<{await world.message_id()}@keyturn.example>"
    await world.comes_to("setup", "sent")
    sent = [event for event in await world.published() if isinstance(event, MessageSent)]
    assert [(one.subject, one.template, one.attempts) for one in sent] == [(world.purchase, "setup", 1)]


async def test_the_sealed_link_is_kept_no_longer_than_its_mail_is_to_be_sent(world: World) -> None:
    kept = "SELECT 1 FROM messages WHERE token IS NOT NULL OR credentials IS NOT NULL"
    await world.hear(world.link())
    assert len(await world.rows(kept)) == 1
    await world.hear(world.opened())
    await world.comes_to("setup", "sent")
    assert await world.rows(kept) == []


async def test_every_fact_has_its_mail(world: World) -> None:
    now, purchase = world.clock.now(), world.purchase
    review = PaymentNeedsReview(
        subject=purchase, time=now, payment_id="p1", provider="stripe", payment_key="in_1", reason="amount", amount=900,
        currency="JPY", expected_amount=1200, expected_currency="JPY",
    )  # fmt: skip
    unreadable = WebhookUnreadable(
        id=derived_id("stripe", "evt_1", "unreadable"), subject="stripe:evt_1", time=now, provider="stripe",
        webhook_id="w1", cause="no object",
    )  # fmt: skip
    orphan = OrphanFound(
        subject=purchase, time=now, resource="container", kind="docker.container", target="docker", cause="Permanent",
        message="in use",
    )  # fmt: skip
    run = "018f0000-0000-7000-8000-000000000007"
    audit = AuditFound(
        subject=f"audit:{run}", time=now, run_id=run, counts={"install_missing": 2}, mended=2, examples=[purchase]
    )
    expiring = CertificateExpiring(
        subject=purchase, time=now, certificate_id=run, names=["ada.example.com"], expires_at=now, days_left=7
    )
    await world.hear(
        world.opened(),
        PurchaseFailed(subject=purchase, time=now, code="expired"),
        world.suspended(),
        InstallResumed(subject=purchase, time=now, job_id="j2", action="resume", url="https://ada.example.com"),
        world.failed(),
        review,
        unreadable,
        orphan,
        audit,
        expiring,
        expiring.model_copy(update={"id": uuid7(), "days_left": 1}),
    )
    customer = await world.mailbox.wait_for(ADA, count=3)
    operator = await world.mailbox.wait_for(OPERATOR, count=7)
    assert {mail.subject for mail in customer} == {
        "Your payment for eBuilder did not go through",
        "Ada's shop is suspended",
        "Ada's shop is back",
    }
    assert {mail.subject for mail in operator} == {
        "Audit: money and machines do not fit",
        "Install failed: eBuilder",
        "Payment to review: ¥900",
        "Unreadable webhook from stripe",
        "Left behind: docker.container container",
        "A certificate ends in 7 days",
        "A certificate ends in 1 day",
    }
    (ends,) = [mail for mail in operator if "1 day" in mail.subject]
    assert f"keyturn certificates renew {run}" in ends.text
    (problem,) = [mail for mail in customer if "payment" in mail.subject]
    assert "1.234,50\xa0€" in problem.text
    (suspended,) = [mail for mail in customer if "suspended" in mail.subject]
    assert "because a payment is missing" in suspended.text


async def test_a_change_of_plan_is_told_to_the_customer_and_a_wish_to_be_forgotten_to_the_operator(
    world: World,
) -> None:
    changed = world.renewal(
        SubscriptionPlanChanged, plan="shop-pro", plan_name="Pro", previous_plan="tiny", price=2900, charged=1000, next_price=2900,
        renews_at=world.clock.now() + timedelta(days=9),
    )  # fmt: skip
    wish = CustomerErasureWanted(subject=world.purchase, time=world.clock.now(), customer_id="c-77")
    for _ in range(2):
        await world.hear(world.opened(), changed, wish)
    (mail,) = await world.mailbox.wait_for(ADA)
    assert all(words in mail.text for words in ("10,00\xa0€ were charged", "Pro, instead of tiny", "29,00\xa0€ on"))
    (asked,) = await world.mailbox.wait_for(OPERATOR)
    assert asked.subject == "A customer asks to be forgotten"
    assert "keyturn customers erase c-77" in asked.text


async def test_what_a_provider_failed_to_charge_is_told_with_its_amount(world: World) -> None:
    """Nothing of it can be paid at a checkout of ours, so nothing is due."""
    said: dict[str, Any] = {"due": None, "next_price": 3000, "collection": "provider", "suspends_at": world.clock.now()}
    await world.hear(
        world.opened(),
        world.renewal(SubscriptionPastDue, **said),
        world.renewal(SubscriptionWarned, **said, consequence="suspension"),
    )
    mails = await world.mailbox.wait_for(ADA, count=2)
    assert sorted(mail.subject for mail in mails) == [
        "Ada's shop is about to be suspended",
        "The charge for Ada's shop failed",
    ]
    assert all("30,00\xa0€" in mail.text for mail in mails)


async def test_what_was_paid_and_what_went_back_is_told_once(world: World) -> None:
    said = {"subject": world.purchase, "time": world.clock.now(), "currency": "EUR", "tax": 0, "total": 900}
    for _ in range(2):
        await world.hear(
            world.opened(),
            InvoicePaid(**said, number="INV-2026-000001", due=900, payment_id="p"),
            CreditNoteIssued(**said, number="CN-2026-000001", invoice="INV-2026-000001"),
        )
    mails = await world.mailbox.wait_for(ADA, count=2)
    assert sorted(mail.subject for mail in mails) == [
        "Credit note CN-2026-000001: 9,00 €",
        "Receipt INV-2026-000001: 9,00 €",
    ]


async def test_a_renewal_is_told_once_a_period(world: World) -> None:
    due, late = world.renewal(SubscriptionRenewalDue), world.renewal(SubscriptionPastDue, suspends_at=world.clock.now())
    again = world.renewal(SubscriptionRenewalDue)
    await world.hear(world.opened(), due, late, again, world.renewal(SubscriptionRenewalDue, 2))
    mails = await world.mailbox.wait_for(ADA, count=3)
    renews = "Ada's shop renews: 9,00 €"
    assert sorted(mail.subject for mail in mails) == ["A payment for Ada's shop is missing", renews, renews]
    assert all(f"/purchases/{world.purchase}" in mail.text for mail in mails)


async def test_mails_about_suspension_come_in_the_order_in_which_it_happened(world: World) -> None:
    await world.mailbox.down()
    await world.hear(world.opened(), world.suspended())
    now = world.clock.now()
    await world.hear(InstallResumed(subject=world.purchase, time=now, job_id="j2", action="resume"))
    await wait_until(lambda: world.rows("SELECT 1 FROM attempts WHERE outcome = 'deferred'"))
    await world.mailbox.up()
    await world.skip_waits()
    await world.comes_to("suspended", "sent")
    await world.skip_waits()
    mails = await world.mailbox.wait_for(ADA, count=2)
    assert [mail.subject for mail in mails] == ["Ada's shop is suspended", "Ada's shop is back"]


async def test_rule_3_a_redelivered_or_repeated_event_sends_no_second_mail(world: World) -> None:
    link = world.link()
    await world.hear(world.opened(), link)
    await world.mailbox.wait_for(ADA)
    await world.hear(link)
    again = link.model_copy(update={"id": derived_id("stripe", "x", "y")})
    await world.hear(again)
    await world.comes_to("setup", "sent")
    await world.idle()
    assert [mail.deliveries for mail in world.mailbox.to(ADA)] == [1]


async def test_rule_6_a_mail_waits_for_a_contact_that_is_not_known_yet(world: World) -> None:
    await world.hear(world.link())

    async def waits() -> bool:
        rows = await world.rows("SELECT reason FROM work WHERE kind = 'mail'")
        return [row.reason for row in rows] == ["no_contact"]

    await wait_until(waits)
    assert not world.mailbox.mails
    await world.hear(world.opened())
    await world.mailbox.wait_for(ADA)


async def test_the_newest_entitlement_says_where_the_customer_is(world: World) -> None:
    await world.hear(world.entitled(2, "new@example.com"))
    await world.hear(world.entitled(1, "old@example.com"), world.opened())
    await world.hear(world.link())
    await world.mailbox.wait_for("new@example.com")
    assert not world.mailbox.to(ADA)
    (contact,) = await world.rows("SELECT amount, currency, version FROM contacts")
    assert tuple(contact) == (123450, "EUR", 2)


async def test_a_mail_server_that_was_away_the_whole_time_yields_one_mail(world: World) -> None:
    await world.mailbox.down()
    await world.hear(world.opened(), world.link())

    async def tried(times: int) -> bool:
        (row,) = await world.rows("SELECT count(*) AS n FROM attempts WHERE outcome = 'deferred'")
        return bool(row.n >= times)

    for times in (1, 2, 3):
        await wait_until(partial(tried, times))
        await world.skip_waits()
    assert ("setup", "pending", None) in await world.states()
    await world.mailbox.up()
    await world.skip_waits()
    await world.mailbox.wait_for(ADA)
    await world.comes_to("setup", "sent")
    await world.idle()
    assert [mail.deliveries for mail in world.mailbox.to(ADA)] == [1]
    rows = await world.rows("SELECT outcome, code FROM attempts ORDER BY number")
    assert rows[-1].outcome == "sent"
    assert {row.code for row in rows[:-1]} == {"unreachable"}


async def test_a_later_from_the_server_is_tried_again(world: World) -> None:
    world.mailbox.refuse(ADA, "451 4.7.1 greylisted, come back", times=1)
    await world.hear(world.opened(), world.link())
    await wait_until(lambda: world.mailbox.attempts)
    await world.skip_waits()
    await world.mailbox.wait_for(ADA)
    await world.comes_to("setup", "sent")
    rows = await world.rows("SELECT outcome, code FROM attempts ORDER BY number")
    assert [tuple(row) for row in rows] == [("deferred", "451 4.7.1"), ("sent", "250")]


@pytest.mark.parametrize("at", ["rcpt", "data"])
async def test_a_hard_bounce_is_final_and_visible(world: World, at: Literal["rcpt", "data"]) -> None:
    world.mailbox.refuse(ADA, f"550 5.1.1 <{ADA}> is unknown", at=at)
    await world.hear(world.opened(), world.link())
    await world.comes_to("setup", "failed", "550 5.1.1")
    (alert,) = await world.mailbox.wait_for(OPERATOR)
    assert alert.subject == "Mail not delivered: setup (550 5.1.1)"
    assert ADA not in alert.text
    await world.comes_to("message_failed", "sent")
    await world.idle()
    assert [row.n for row in await world.rows("SELECT count(*) AS n FROM attempts")] == [2]
    (failed,) = [event for event in await world.published() if isinstance(event, MessageFailed)]
    assert (failed.code, failed.attempts) == ("550 5.1.1", 1)
    assert ADA not in failed.model_dump_json()
    shown = await world.ask("GET", f"/internal/messages/{failed.message_id}", "viewer")
    assert shown["recipient"] == ADA
    assert "is unknown" in shown["history"][0]["reply"]


async def test_rule_12_a_mail_that_fails_tells_the_provisioner_nothing(world: World) -> None:
    world.mailbox.refuse(ADA, "550 no")
    await world.hear(world.opened(), world.link())
    await world.comes_to("setup", "failed", "550")
    await world.comes_to("message_failed", "sent")
    await world.idle()
    told = [(event.wire, event.model_dump()["template"]) for event in await world.published()]
    assert told == [("message.failed.v1", "setup"), ("message.sent.v1", "message_failed")]


async def test_a_mail_to_the_operator_that_fails_is_told_to_nobody(world: World) -> None:
    before = failures("install_failed", "5xx")
    world.mailbox.refuse(OPERATOR, "550 no")
    await world.hear(world.opened(), world.failed())
    await world.comes_to("install_failed", "failed", "550")
    await world.idle()
    assert [template for template, _, _ in await world.states()] == ["install_failed"]
    assert failures("install_failed", "5xx") == before + 1


async def test_rule_16_one_bad_address_stops_no_other_mail(world: World) -> None:
    world.mailbox.refuse(ADA, "550 no")
    await world.hear(world.opened(), world.link(), world.failed())
    await world.mailbox.wait_for(OPERATOR)


async def test_an_attempt_whose_outcome_is_unknown_is_repeated_as_the_same_mail(world: World) -> None:
    world.mailbox.lose_after_data = 1
    await world.hear(world.opened(), world.link())
    await wait_until(lambda: world.mailbox.to(ADA))
    (first,) = world.mailbox.to(ADA)
    await wait_until(lambda: world.rows("SELECT 1 FROM attempts WHERE outcome = 'unknown'"))
    await world.skip_waits()
    await wait_until(lambda: first.deliveries == 2)
    await world.comes_to("setup", "sent")
    assert first.copies == [first.raw, first.raw]
    rows = await world.rows("SELECT outcome FROM attempts ORDER BY number")
    assert [row.outcome for row in rows] == ["unknown", "sent"]


async def test_a_link_that_expired_before_it_could_be_sent_is_reported_for_a_new_one(world: World) -> None:
    await world.mailbox.down()
    link = world.link(life=timedelta(hours=1))
    await world.hear(world.opened(), link)
    await wait_until(lambda: world.rows("SELECT 1 FROM attempts WHERE outcome = 'deferred'"))
    world.clock.move(timedelta(hours=2))
    await world.mailbox.up()
    await world.skip_waits()
    await world.comes_to("setup", "failed", "link_expired")
    await world.idle()
    assert not world.mailbox.mails
    events = {type(event): event for event in await world.published()}
    unsent = events[SetupLinkUnsent]
    assert isinstance(unsent, SetupLinkUnsent)
    assert (unsent.subject, unsent.link_id, unsent.reason) == (world.purchase, link.link_id, "link_expired")
    assert set(events) == {SetupLinkUnsent, MessageFailed}


async def test_a_newer_link_supersedes_an_unsent_older_one(world: World) -> None:
    await world.mailbox.down()
    await world.hear(world.opened(), world.link(1, "first-" + "a" * 37))
    await wait_until(lambda: world.rows("SELECT 1 FROM attempts WHERE outcome = 'deferred'"))
    await world.hear(world.link(2, "second-" + "b" * 36))
    await world.mailbox.up()
    await world.skip_waits()
    (mail,) = await world.mailbox.wait_for(ADA)
    assert "second-" in mail.text
    await world.comes_to("setup", "failed", "superseded")
    await world.comes_to("setup", "sent")
    assert len(world.mailbox.mails) == 1


async def test_an_older_link_that_arrives_late_is_not_sent(world: World) -> None:
    await world.hear(world.opened(), world.link(2))
    await world.mailbox.wait_for(ADA)
    await world.hear(world.link(1))
    await world.comes_to("setup", "failed", "superseded")
    assert len(world.mailbox.mails) == 1


async def test_rules_13_and_17_the_token_is_nowhere_but_in_its_mail(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await world.mailbox.down()
    await world.hear(world.opened(), world.link())
    await wait_until(lambda: world.rows("SELECT 1 FROM attempts WHERE outcome = 'deferred'"))
    await world.mailbox.up()
    await world.skip_waits()
    await world.mailbox.wait_for(ADA)
    await world.comes_to("setup", "sent")
    shown = str(await world.ask("GET", f"/internal/messages/{await world.message_id()}"))
    tables = await world.rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
    for table in tables:
        for row in await world.rows(f"SELECT t::text AS all FROM {table.table_name} AS t"):
            assert TOKEN not in row.all
    for event in await world.published():
        assert TOKEN not in event.model_dump_json()
    assert TOKEN not in caplog.text
    assert TOKEN not in shown
    assert "x1." not in shown


async def test_a_sealed_link_that_no_key_opens_is_dead_work_that_can_be_retried(world: World) -> None:
    stranger = world.link()
    await world.hear(
        world.opened(), stranger.model_copy(update={"token": world.link().token.__class__("x1.other.AAAA")})
    )
    await world.comes_to("setup", "failed", "gave_up")
    (row,) = await world.rows("SELECT id, error FROM work WHERE kind = 'mail' AND state = 'dead'")
    assert "MAIL_KEYS" in row.error
    await world.rows_changed("UPDATE messages SET token = :t", t=stranger.token.ciphertext)
    assert await world.ask("POST", "/internal/work/retry", json={"ids": [str(row.id)], "reason": "key is back"})
    await world.mailbox.wait_for(ADA)
    await world.comes_to("setup", "sent")


async def test_a_nonsense_address_fails_at_once(world: World) -> None:
    opened = world.opened()
    nonsense = opened.contact.model_copy(update={"email": "ada@example.com\r\nBcc: all@example.com"})
    await world.hear(opened.model_copy(update={"contact": nonsense}), world.link())
    await world.comes_to("setup", "failed", "bad_address")
    assert not world.mailbox.to(ADA)
    await world.mailbox.wait_for(OPERATOR)


async def test_an_operator_lists_messages_and_has_one_tried_again(world: World) -> None:
    world.mailbox.refuse(ADA, "550 5.2.1 disabled", times=1)
    await world.hear(world.opened(), world.link())
    await world.comes_to("setup", "failed", "550 5.2.1")
    listed = await world.ask("GET", "/internal/messages", "viewer", purchase_id=world.purchase, state="failed")
    (message,) = listed["items"]
    assert listed["next_cursor"] is None
    path = f"/internal/messages/{message['id']}/retry"
    with pytest.raises(Problem) as refused:
        await world.ask("POST", path, "viewer", json={"reason": "please"})
    assert refused.value.status == 403
    answer = await world.ask("POST", path, json={"reason": "the customer freed some space"})
    assert answer["state"] == "pending"
    await world.mailbox.wait_for(ADA)
    await world.comes_to("setup", "sent")
    acted = [event for event in await world.published() if event.wire == "operator.acted.v1"]
    assert len(acted) == 1
    with pytest.raises(Problem) as refused:
        await world.ask("POST", path, json={"reason": "again"})
    assert refused.value.code == "message_already_sent"


async def test_a_dead_link_is_not_sent_by_a_retry(world: World) -> None:
    await world.hear(world.opened(), world.link(2))
    await world.comes_to("setup", "sent")
    await world.hear(world.link(1))
    await world.comes_to("setup", "failed", "superseded")
    (row,) = await world.rows("SELECT id FROM messages WHERE code = 'superseded'")
    with pytest.raises(Problem) as refused:
        await world.ask("POST", f"/internal/messages/{row.id}/retry", json={"reason": "again"})
    assert refused.value.code == "message_superseded"


async def test_pages_of_messages_follow_one_another(world: World) -> None:
    for number in range(3):
        await world.hear(world.failed().model_copy(update={"job_id": f"j{number}"}))
    first = await world.ask("GET", "/internal/messages", "viewer", limit=2)
    second = await world.ask("GET", "/internal/messages", "viewer", limit=2, cursor=first["next_cursor"])
    assert (len(first["items"]), len(second["items"]), second["next_cursor"]) == (2, 1, None)
    with pytest.raises(Problem) as unknown:
        await world.ask("GET", f"/internal/messages/{world.purchase}", "viewer")
    assert unknown.value.code == "message_unknown"
