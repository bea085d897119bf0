"""What is wrong with a webhook request: status, code, and that nothing is stored."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse

from gateway.buckets import Buckets, Limit
from gateway.intake import Intake, WebhookEndpoints
from gateway.repository.webhooks import Stored, Webhook
from gateway.webhooks.requests import MOST_BYTES
from keyturn.clock import SystemClock
from support import provider_webhooks as sent
from support.examples import examples

STRIPE = "/api/webhooks/stripe"
RAZORPAY = "/api/webhooks/razorpay"


class Endpoints:
    """The endpoints alone; what they store is kept in a list."""

    def __init__(self, *, burst: int = 1_000_000) -> None:
        self.stored: list[Webhook] = []
        intake = Intake(
            secrets={"stripe": (sent.STRIPE_SECRET.encode(),), "razorpay": (sent.RAZORPAY_SECRET.encode(),)},
            store=self._store,
            clock=SystemClock(),
            forgeries=Buckets(Limit(burst=burst, per_minute=1)),
            address=lambda scope: str(scope["client"][0]),
        )
        app = WebhookEndpoints(PlainTextResponse("the application"), intake)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")

    async def _store(self, webhook: Webhook) -> Stored:
        self.stored.append(webhook)
        return "stored"

    async def post(self, path: str, body: bytes, headers: Any) -> httpx.Response:
        return await self.client.post(path, content=body, headers=headers)


@pytest.fixture
async def endpoints() -> AsyncIterator[Endpoints]:
    made = Endpoints()
    yield made
    await made.client.aclose()


GOOD = sent.body_of(sent.stripe_event("invoice.paid", sent.stripe_invoice()))
THIN = sent.body_of({"id": "evt_1", "object": "v2.core.event", "type": "v1.billing.meter.error_report_triggered"})
JSON_TYPE = {"content-type": "application/json"}


def signed(body: bytes, **changes: Any) -> dict[str, Any]:
    """Signed when it is sent: a signature that waited for its turn in a long run would be stale."""
    return {"body": body, "headers": lambda: {**sent.stripe_headers(body), **changes}}


def with_signature(signature: Any, body: bytes = GOOD) -> dict[str, Any]:
    return {"body": body, "headers": {**JSON_TYPE, "stripe-signature": signature}}


BAD = {
    "no signature": ({"body": GOOD, "headers": JSON_TYPE}, 400, "signature_missing"),
    "empty signature": (with_signature(""), 400, "signature_missing"),
    "no time": (with_signature("v1=" + "0" * 64), 400, "signature_malformed"),
    "no v1": (with_signature("t=1790000000,v0=" + "0" * 64), 400, "signature_malformed"),
    "two times": (with_signature("t=1,t=2,v1=00"), 400, "signature_malformed"),
    "time of letters": (with_signature("t=soon,v1=00"), 400, "signature_malformed"),
    "endless time": (with_signature(f"t={'9' * 500},v1=00"), 400, "signature_malformed"),
    "endless header": (with_signature("t=1," + "v1=0," * 2000), 400, "signature_malformed"),
    "not ASCII": (with_signature("t=1790000000,v1=é".encode()), 400, "signature_wrong"),
    "wrong": (with_signature("t=1790000000,v1=" + "0" * 64), 400, "signature_wrong"),
    "another secret": (
        {"body": GOOD, "headers": lambda: sent.stripe_headers(GOOD, secret="whsec_other")},
        400,
        "signature_wrong",
    ),
    "altered": (
        {"body": GOOD.replace(b"4900", b"1000"), "headers": lambda: sent.stripe_headers(GOOD)},
        400,
        "signature_wrong",
    ),
    "re-serialised": (
        {"body": GOOD.replace(b",", b", "), "headers": lambda: sent.stripe_headers(GOOD)},
        400,
        "signature_wrong",
    ),
    "stale": ({"body": GOOD, "headers": sent.stripe_headers(GOOD, at=1_000_000)}, 400, "signature_stale"),
    "from the future": ({"body": GOOD, "headers": sent.stripe_headers(GOOD, at=4_000_000_000)}, 400, "signature_stale"),
    "empty": (signed(b""), 400, "empty_body"),
    "not UTF-8": (signed(b'{"id": "\xff"}'), 400, "invalid_utf8"),
    "not JSON": (signed(b"{"), 400, "invalid_json"),
    "NaN": (signed(b'{"id": NaN}'), 400, "invalid_json"),
    "too deep": (signed(b"[" * 100_000), 400, "invalid_json"),
    "no object": (signed(b"[]"), 400, "not_an_event"),
    "thin": (signed(THIN), 400, "thin_event"),
    "huge": (signed(b"x" * (MOST_BYTES + 1)), 413, "content_too_large"),
    "form": (signed(GOOD, **{"content-type": "application/x-www-form-urlencoded"}), 415, "unsupported_media_type"),
}


@pytest.mark.parametrize(("request_", "status", "code"), BAD.values(), ids=BAD.keys())
async def test_a_bad_request_is_named_and_leaves_no_state(
    endpoints: Endpoints, request_: dict[str, Any], status: int, code: str
) -> None:
    headers = request_["headers"]
    answer = await endpoints.post(STRIPE, request_["body"], headers() if callable(headers) else headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert endpoints.stored == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "PATCH"])
async def test_other_methods_are_refused(endpoints: Endpoints, method: str) -> None:
    answer = await endpoints.client.request(method, STRIPE)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("signature", "code"),
    [
        (None, "signature_missing"),
        ("0" * 63, "signature_malformed"),
        ("0" * 64, "signature_wrong"),
        ("é".encode() * 32, "signature_wrong"),
    ],
)
async def test_razorpay_signatures_are_refused_by_name(endpoints: Endpoints, signature: Any, code: str) -> None:
    headers = {**JSON_TYPE, **({"x-razorpay-signature": signature} if signature else {})}
    answer = await endpoints.post(RAZORPAY, GOOD, headers)
    assert (answer.status_code, answer.json()["code"], endpoints.stored) == (400, code, [])


async def test_a_secret_of_the_other_provider_opens_nothing(endpoints: Endpoints) -> None:
    headers = sent.razorpay_headers(GOOD, secret=sent.STRIPE_SECRET)
    assert (await endpoints.post(RAZORPAY, GOOD, headers)).status_code == 400


async def test_any_one_of_several_v1_signatures_is_enough(endpoints: Endpoints) -> None:
    signature = sent.stripe_signature(GOOD)
    stamp, good = signature.split(",")
    answer = await endpoints.post(STRIPE, GOOD, {**JSON_TYPE, "stripe-signature": f"{stamp},v1={'0' * 64},{good},v0=x"})
    assert answer.status_code == 200


async def test_signatures_are_not_kept(endpoints: Endpoints) -> None:
    await endpoints.post(STRIPE, GOOD, sent.stripe_headers(GOOD))
    [webhook] = endpoints.stored
    assert "signature" not in webhook.headers


async def test_many_forgeries_are_slowed_down_and_stop_no_good_webhook() -> None:
    endpoints = Endpoints(burst=2)
    forged = sent.stripe_headers(GOOD, secret="whsec_other")
    answers = [await endpoints.post(STRIPE, GOOD, forged) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [400, 400, 429]
    assert int(answers[2].headers["retry-after"]) > 0
    assert (await endpoints.post(STRIPE, GOOD, sent.stripe_headers(GOOD))).status_code == 200
    await endpoints.client.aclose()


async def test_what_is_no_webhook_goes_to_the_application(endpoints: Endpoints) -> None:
    assert (await endpoints.client.get("/api/webhooks")).text == "the application"


async def test_a_sender_that_hangs_up_leaves_no_state(endpoints: Endpoints) -> None:
    intake = WebhookEndpoints(PlainTextResponse(""), replace(_intake_of(endpoints)))
    sent_back: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent_back.append(message)

    headers = [(name.encode(), value.encode()) for name, value in sent.stripe_headers(GOOD).items()]
    scope = {"type": "http", "method": "POST", "path": STRIPE, "headers": headers, "client": ("192.0.2.1", 1)}
    await intake(scope, receive, send)
    assert (sent_back, endpoints.stored) == ([], [])


def _intake_of(endpoints: Endpoints) -> Intake:
    transport: Any = endpoints.client._transport
    intake: Intake = transport.app._intake
    return intake


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
KINDS = ["checkout.session.completed", "invoice.paid", "charge.refunded", "charge.dispute.closed", "refund.failed"]
FIELDS = sorted(
    {*sent.stripe_session(), *sent.stripe_invoice(), *sent.stripe_charge(), *sent.stripe_dispute(), "refunds"}
)
things = st.dictionaries(st.sampled_from(FIELDS), json_values)
signed_events = st.builds(sent.stripe_event, st.sampled_from(KINDS), things)

any_request = settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _answer(path: str, body: bytes, headers: Any) -> tuple[httpx.Response, list[Webhook]]:
    async def ask() -> tuple[httpx.Response, list[Webhook]]:
        endpoints = Endpoints()
        async with endpoints.client:
            return await endpoints.post(path, body, headers), endpoints.stored

    return asyncio.run(ask())


@any_request
@given(header=st.binary(max_size=200).filter(lambda raw: not set(raw) & {0, 10, 13}), body=st.binary(max_size=200))
def test_no_signature_header_and_no_body_is_ever_a_failure_of_ours(header: bytes, body: bytes) -> None:
    for path, name in ((STRIPE, "stripe-signature"), (RAZORPAY, "x-razorpay-signature")):
        answer, stored = _answer(path, body, {**JSON_TYPE, name: header})
        assert (answer.status_code, stored) == (400, [])


@any_request
@given(event=signed_events | json_values)
def test_rule_1_whatever_is_signed_is_stored_or_refused_and_never_a_failure_of_ours(event: Any) -> None:
    body = sent.body_of(event)
    answer, stored = _answer(STRIPE, body, sent.stripe_headers(body))
    assert answer.status_code in {200, 400}
    assert len(stored) == (answer.status_code == 200)


@any_request
@given(entities=st.dictionaries(st.sampled_from(["payment", "order", "refund", "dispute"]), json_values))
def test_razorpay_payloads_of_any_shape_are_stored(entities: dict[str, Any]) -> None:
    document = sent.razorpay_event("payment.captured") | {"payload": entities}
    body = sent.body_of(document)
    answer, stored = _answer(RAZORPAY, body, sent.razorpay_headers(body))
    assert answer.status_code in {200, 400}
    assert len(stored) == (answer.status_code == 200)
