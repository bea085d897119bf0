import json
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keyturn.errors import GiveUp
from keyturn.events import SetupLinkIssued
from keyturn.sealing import KeyRing, new_key_line
from notifier.channels.smtp import Bounced
from notifier.domain import AUDIENCE, ImpossibleTransition, moved
from notifier.letters import Desk, Order, Reader, greeting, locale_of, mail_address, one_line, timezone_of
from notifier.repository import Message

PURCHASE = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
RING = KeyRing.from_text(new_key_line("k"))
DESK = Desk(sender="Ada & Co <shop@keyturn.example>", public_url="https://shop.example/", keys=RING)
ADA = Reader("ada@example.com", "Ada Lovelace", "de-DE", "Europe/Berlin")
FACTS: dict[str, Any] = {
    "url": "https://ada.example.com", "link_id": "l1", "reasons": ["nonpayment", "dispute"], "job_id": "j1",
    "action": "provision", "step": "container", "cause": "Permanent", "message": "<b>no such image</b>", "attempts": 4,
    "payment_id": "p1", "provider": "stripe", "payment_key": "in_1", "reason": "amount", "amount": 100, "currency": "EUR",
    "expected_amount": None, "expected_currency": None, "webhook_id": "w1", "provider_type": None,
    "state": "active", "due": 90000, "period_until": "2026-12-20T12:00:00+00:00", "suspends_at": "2026-12-23T12:00:00+00:00",
    "deletes_at": "2027-01-22T12:00:00+00:00", "withdrawn": 90000, "resumes_at": "2026-12-24T12:00:00+00:00",
    "charges_at": "2026-12-22T12:00:00+00:00", "verdict": "again",
    "plan": "small", "refused_plan": "large", "refund": 1200, "collection": "keyturn", "customer_id": "c1",
    "time": "2026-12-10T12:00:00+00:00", "previous_plan": "tiny", "charged": 1200, "credited": 0, "next_price": 90000,
    "renews_at": "2026-12-20T12:00:00+00:00",
    "number": "INV-2026-000001", "invoice": "INV-2026-000001", "total": 90000,
    "message_id": "m1", "template": "setup", "code": "550 5.1.1",
    "resource": "container", "kind": "docker.container", "target": "docker",
    "run_id": "r1", "counts": {"install_missing": 2}, "mended": 2, "examples": ["p1"],
    "certificate_id": "t1", "names": ["shop.example.com", "<b>.example.com"], "expires_at": "2026-12-20T12:00:00+00:00",
    "days_left": 7, "detail": None,
}  # fmt: skip


def sealed(value: str, field: str) -> str:
    return RING.seal(value, place=(SetupLinkIssued.wire, str(PURCHASE), field)).ciphertext


def message(template: Any = "setup", **more: Any) -> Message:
    values = {"id": PURCHASE, "subject": str(PURCHASE), "purchase_id": PURCHASE, "template": template, "details": FACTS}
    values |= {"created": datetime(2026, 11, 21, 9, tzinfo=UTC), "token": None, "credentials": None, "expires_at": None}
    if template in ("setup", "sign_in"):
        wire = SetupLinkIssued.wire if template == "setup" else template
        token = RING.seal("s3cret-token", place=(wire, str(PURCHASE), "token")).ciphertext
        values |= {"token": token, "expires_at": datetime(2026, 11, 22, 9, 30, tzinfo=UTC)}
    return Message(**(values | more))


def order(reader: Reader = ADA, **more: Any) -> Order:
    values: dict[str, Any] = {"product": "eBuilder", "store_name": "Ada's <shop>", "amount": 123450, "currency": "EUR"}
    return Order(reader, **(values | more))


def built(of: Message | None = None, by: Order | None = None) -> tuple[Any, str, str]:
    with DESK.letter(of or message(), by or order()) as letter:
        raw = letter.as_bytes()
    parsed = message_from_bytes(raw, policy=policy.default)
    parts = [parsed.get_body((kind,)) for kind in ("plain", "html")]
    return parsed, *(part.get_content() for part in parts if part)


def test_the_setup_mail_has_the_link_in_both_forms_and_the_date_as_the_reader_writes_it() -> None:
    parsed, text, html = built()
    assert "https://shop.example/setup/s3cret-token" in text
    assert 'href="https://shop.example/setup/s3cret-token"' in html
    assert "22. November 2026, 10:30 (CET)" in text
    assert parsed["From"] == "Ada & Co <shop@keyturn.example>"
    assert parsed["To"] == "Ada Lovelace <ada@example.com>"
    assert parsed["Message-ID"] == f"<{PURCHASE}@keyturn.example>"
    assert parsed["Auto-Submitted"] == "auto-generated"


def test_the_mail_about_a_renewal_says_that_it_is_charged() -> None:
    for body in built(message("renewal_due"))[1:]:
        assert "is charged to your saved card then" in " ".join(body.split())


def test_the_mail_about_a_renewal_says_how_much_and_until_when_and_where_it_is_paid() -> None:
    parsed, text, html = built(message("renewal_due", details=FACTS | {"charges_at": None}))
    assert parsed["Subject"] == "Ada's <shop> renews: 900,00 €"
    for body in (text, html):
        assert "20. Dezember 2026, 13:00 (MEZ)" in body or "20. Dezember 2026, 13:00 (CET)" in body
        assert f"https://shop.example/purchases/{PURCHASE}" in body
    parsed, text, html = built(message("renewal_due", details=FACTS | {"state": "trialing"}))
    assert parsed["Subject"] == "Ada's <shop> goes on after the trial: 900,00 €"
    assert all("is free until" in " ".join(body.split()) for body in (text, html))
    _, text, _ = built(message("past_due"))
    assert "is suspended on 23. Dezember 2026, 13:00" in " ".join(text.split())


def test_what_a_provider_could_not_charge_is_told_with_the_amount_and_where_another_card_is_given() -> None:
    parsed, text, html = built(message("past_due", details=FACTS | {"collection": "provider"}))
    assert parsed["Subject"] == "The charge for Ada's <shop> failed"
    for body in (text, html):
        plain = " ".join(body.split())
        assert "900,00\xa0€" in body
        assert all(part in plain for part in ("give another one", "is suspended on 23. Dezember", "/purchases/"))


def test_a_change_of_plan_is_told_with_what_was_charged_or_credited_from_when_and_what_comes_next() -> None:
    for money, told in (
        ({}, "12,00\xa0€ were charged"),
        ({"charged": 0, "credited": 700}, "7,00\xa0€ of the time that was paid already are your credit now"),
        ({"charged": 0}, "Nothing was charged"),
    ):
        _, text, html = built(message("plan_changed", details=FACTS | money))
        for body in (text, html.replace("<strong>", "").replace("</strong>", "")):
            plain = " ".join(body.split(" ")).replace("\n", " ")
            assert told in plain
            assert "Since 10. Dezember 2026, 13:00" in plain
            assert "Next: 900,00\xa0€ on 20. Dezember 2026, 13:00" in plain
    _, text, _ = built(message("plan_changed", details=FACTS | {"renews_at": None}))
    assert "Next:" not in text


def test_the_mail_about_a_failed_charge_says_what_comes_next() -> None:
    told = {
        "again": "We try again on 22. Dezember 2026, 13:00",
        "hopeless": "cannot be used any more, and we do not try it again",
        "customer": "Your bank wants you to confirm it",
    }
    for verdict, words in told.items():
        parsed, text, html = built(message("charge_failed", details=FACTS | {"verdict": verdict}))
        assert ("any more" in parsed["Subject"]) == (verdict == "hopeless")
        for body in (text, html):
            assert words in " ".join(body.split())
            assert "is suspended on 23. Dezember 2026, 13:00" in " ".join(body.split())
    _, text, _ = built(message("charge_failed", details=FACTS | {"charges_at": None, "suspends_at": None}))
    assert "the last time that we tried" in text
    assert "is deleted with all its data" in " ".join(text.split())


def test_the_mail_about_a_suspension_says_when_it_is_deleted_if_it_is() -> None:
    told = [built(message("suspended", details=FACTS | at))[1] for at in ({}, {"deletes_at": None})]
    assert ["deleted with all its data on 22. Januar 2027, 13:00" in " ".join(text.split()) for text in told] == [
        True,
        False,
    ]


def test_a_plan_that_was_refused_is_told_with_the_money_that_goes_back() -> None:
    _, text, html = built(message("plan_refused"))
    assert all("12,00" in body and "large" in body for body in (text, html))
    _, text, html = built(message("plan_refused", details=FACTS | {"refund": 0}))
    assert not any("go back" in " ".join(body.split()) for body in (text, html))


def test_a_receipt_names_its_invoice_and_what_credit_paid_of_it() -> None:
    parsed, text, html = built(message("receipt"))
    assert parsed["Subject"] == "Receipt INV-2026-000001: 900,00 €"
    for body in (text, html):
        assert f"https://shop.example/purchases/{PURCHASE}/invoices/INV-2026-000001" in body
        assert "credit" not in body
    for due, told in ((0, "is paid by your credit"), (60000, "is paid, 300,00 € of it by your credit")):
        for body in built(message("receipt", details=FACTS | {"due": due}))[1:]:
            assert told in " ".join(body.split())
    parsed, text, _ = built(message("credit_note"))
    assert parsed["Subject"] == "Credit note INV-2026-000001: 900,00 €"
    for credited, told in (
        (90000, "went back as credit."),
        (30000, "went back: 600,00 € as money, 300,00 € as credit."),
    ):
        for body in built(message("credit_note", details=FACTS | {"credited": credited}))[1:]:
            assert told in " ".join(body.split())
    _, text, _ = built(message("renewal_due"))
    assert "/invoices/INV-2026-000001" in text
    older = {name: value for name, value in FACTS.items() if name != "invoice"}
    assert "/invoices/" not in built(message("renewal_due", details=older))[1]


@pytest.mark.parametrize("template", AUDIENCE)
@pytest.mark.parametrize("full", [True, False])
def test_every_template_renders_with_and_without_what_may_be_missing(template: Any, full: bool) -> None:
    by = order() if full else Order(Reader("ada@example.com"))
    facts = FACTS | ({} if full else {"url": None, "step": None, "message": ""})
    parsed, text, html = built(message(template, details=facts), by)
    assert parsed["Subject"]
    assert "None" not in text
    assert "None" not in html
    assert "Undefined" not in html
    assert text.count("\n\n\n\n") == 0


@pytest.mark.parametrize("template", AUDIENCE)
def test_nothing_that_was_typed_becomes_markup(template: Any) -> None:
    _, _, html = built(message(template))
    assert "<b>no such" not in html
    assert "<shop>" not in html


@given(name=st.text(max_size=200), store=st.text(max_size=300))
@example(name="Ada\r\nBcc: all@example.com", store="x\nX-Evil: 1")
@example(name="\u2028\u2029\x85", store="a\x00b\u202eevil")
def test_no_name_adds_a_header_or_an_address(name: str, store: str) -> None:
    parsed, _, _ = built(by=order(Reader("ada@example.com", name), store_name=store))
    assert set(parsed.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type",
    }  # fmt: skip
    assert [address.addr_spec for address in parsed["To"].addresses] == ["ada@example.com"]


@pytest.mark.parametrize(
    "email",
    [
        "", "ada", "@example.com", "ada@", "a b@example.com", "ada@example.com\r\nBcc: x@example.com", "a@b@c",
        "ada@example.com, eve@example.com", "<ada@example.com>", "ada@-example.com", "ada@exa mple.com", "a" * 65 + "@b.c",
        "ada@" + "a" * 260,
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(Bounced) as refused:
        mail_address(email)
    assert refused.value.code == "bad_address"


@pytest.mark.parametrize(
    ("email", "sent"),
    [
        ("ada+shop@example.co.uk", "ada+shop@example.co.uk"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("o'neil_1@example.com", "o'neil_1@example.com"),
        ("operator@localhost", "operator@localhost"),
    ],
)
def test_a_usual_address_is_taken(email: str, sent: str) -> None:
    assert mail_address(email).addr_spec == sent


@pytest.mark.parametrize(
    "name", ["Visit http://evil.example", "evil.example/x", "win@now", "A" * 61, "12345", "\n", None]
)
def test_a_name_that_advertises_is_no_greeting(name: str | None) -> None:
    assert greeting(name) is None


@pytest.mark.parametrize("name", ["Ada Lovelace", "O\u2019Neil", "José-María", "李雷", "Dr. Strange"])
def test_a_name_greets(name: str) -> None:
    assert greeting(name) == name


def test_one_line_keeps_ordinary_text() -> None:
    assert one_line("  Ada's\tshop \r\n no 1 ") == "Ada's shop no 1"


def test_first_credentials_stand_where_the_link_would() -> None:
    credentials = sealed(json.dumps({"User": "ada", "Password": "f1rst"}), "credentials")
    parsed, text, html = built(message(credentials=credentials))
    assert "f1rst" in text
    assert "f1rst" in html
    assert "s3cret-token" not in text + html  # nothing is left to choose, and the link is used already
    assert parsed["Subject"].endswith("is ready")


def test_a_link_that_no_key_opens_is_given_up() -> None:
    other = KeyRing.from_text(new_key_line("k")).seal("x", place=("a",)).ciphertext
    with pytest.raises(GiveUp, match="MAIL_KEYS"), DESK.letter(message(token=other), order()):
        pass


def test_a_mail_built_twice_is_the_same_mail() -> None:
    one = message()
    with DESK.letter(one, order()) as first, DESK.letter(one, order()) as second:
        assert first.as_bytes() == second.as_bytes()


@pytest.mark.parametrize(
    ("tag", "found"), [("de-DE", "de_DE"), ("zh-Hans-CN", "zh_Hans_CN"), ("xx-YY", "en"), ("", "en"), (None, "en")]
)  # fmt: skip
def test_a_locale_is_found_or_stands_in(tag: str | None, found: str) -> None:
    assert str(locale_of(tag)) == found


@pytest.mark.parametrize("name", ["Nowhere/City", "", None, "../../etc/passwd", "Europe/\x00"])
def test_an_unknown_time_zone_is_utc(name: str | None) -> None:
    assert str(timezone_of(name)) == "UTC"


def test_a_currency_without_minor_unit_is_written_without() -> None:
    _, text, _ = built(message("payment_problem"), order(Reader("a@b.c", locale="en-US"), amount=1200, currency="JPY"))
    assert "¥1,200" in text


def test_states_move_as_their_table_says() -> None:
    assert moved("pending", "sent")
    assert moved("failed", "pending")
    assert not moved("sent", "sent")
    for current, wanted in (("sent", "failed"), ("sent", "pending"), ("failed", "sent")):
        with pytest.raises(ImpossibleTransition):
            moved(current, wanted)  # type: ignore[arg-type]


def test_a_second_payment_is_to_be_given_back_and_one_that_does_not_fit_is_to_be_decided() -> None:
    twice, text, _ = built(message("payment_review", details=FACTS | {"reason": "surplus"}))
    assert twice["Subject"].startswith("Paid twice: ")
    assert "keyturn payments refund p1" in text
    review, text, _ = built(message("payment_review"))
    assert review["Subject"].startswith("Payment to review: ")
    assert "keyturn payments decide p1" in text
