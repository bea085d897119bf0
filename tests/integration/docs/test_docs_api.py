"""Every request in docs/integrators.md, sent as it stands there, gets the answer that stands there."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from support import pages
from support.databases import Databases
from support.pages import Request
from support.whole import Whole, whole

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("docs")]
PAGE = "integrators.md"


class Reader:
    """Somebody who follows the page: sends its examples in order and keeps what the answers gave."""

    def __init__(self, running: Whole) -> None:
        self.running = running
        self.known: dict[str, str] = {}

    async def send(self, mark: str) -> tuple[int, Any]:
        asked = Request.read(self._filled(pages.marked(PAGE, mark).text))
        self.running.client.cookies.clear()  # what a request proves stands in the page
        answer = await self.running.client.request(
            asked.method, asked.path, headers=asked.headers, content=asked.body or b""
        )
        return answer.status_code, answer.json()

    async def gets_what_the_page_says(self, mark: str, status: int = 200) -> Any:
        got, answer = await self.send(mark)
        assert got == status, answer
        _alike(answer, pages.answer(PAGE, mark), mark)
        self.known |= {name: value for name, value in answer.items() if isinstance(value, str)}
        return answer

    def _filled(self, text: str) -> str:
        for name, value in self.known.items():
            text = text.replace(f"{{{name}}}", value)
        return text


def _alike(answer: Any, documented: Any, place: str) -> None:
    """The same members, each of the same kind; a list has members like its first one."""
    assert type(answer) is type(documented), (place, answer, documented)
    if isinstance(documented, dict):
        assert set(answer) == set(documented), place
        for name, value in documented.items():
            _alike(answer[name], value, f"{place}.{name}")
    elif isinstance(documented, list) and documented:
        for one in answer:
            _alike(one, documented[0], f"{place}[]")


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory, databases: Databases) -> AsyncIterator[Whole]:
    async with whole("memory", tmp_path_factory.mktemp("docs"), databases) as system:
        yield system


@pytest.fixture
def reader(running: Whole) -> Reader:
    return Reader(running)


async def test_the_page_leads_from_an_order_through_stripe_to_a_chosen_password(reader: Reader) -> None:
    opened = await reader.gets_what_the_page_says("checkout-stripe")
    again = await reader.gets_what_the_page_says("checkout-stripe")
    assert again["purchaseId"] == opened["purchaseId"]  # its Idempotency-Key
    running = reader.running
    running.system.stripe.pay(opened["sessionId"])
    mail = await _setup_mail(running, opened["purchaseId"])
    await reader.gets_what_the_page_says("status-short")
    await reader.gets_what_the_page_says("status")
    await reader.gets_what_the_page_says("access")
    await reader.gets_what_the_page_says("ticket")
    assert await _first_event(reader) == "purchase.opened.v1"
    reader.known["token"] = mail
    await reader.gets_what_the_page_says("setup-look")
    await reader.gets_what_the_page_says("setup-complete")
    status, problem = await reader.send("setup-complete")
    assert (status, problem["code"]) == (410, "setup_link_used")


async def test_the_page_leads_through_razorpays_return(reader: Reader) -> None:
    opened = await reader.gets_what_the_page_says("checkout-razorpay")
    system = reader.running.system
    system.razorpay.webhooks.hold()  # so that the return is what finds the payment
    try:
        proof = system.razorpay.proof(system.razorpay.pay(opened["orderId"])["id"])
        reader.known |= {"paymentId": proof["razorpay_payment_id"], "signature": proof["razorpay_signature"]}
        said = await reader.gets_what_the_page_says("razorpay-confirm")
    finally:
        await system.razorpay.webhooks.release()
    assert said["status"] == "paid"


@pytest.mark.parametrize("mark", ["subdomain", "coupon", "problem"])
async def test_the_page_tells_these_answers_word_for_word(reader: Reader, mark: str) -> None:
    _, answer = await reader.send(mark)
    assert answer == pages.answer(PAGE, mark)


async def test_every_request_on_the_page_is_one_that_these_tests_send() -> None:
    sent = {"checkout-stripe", "checkout-razorpay", "subdomain", "razorpay-confirm", "status-short", "status", "access"}
    sent |= {"coupon", "ticket", "live", "setup-look", "setup-complete", "problem"}
    assert {block.mark for block in pages.all_blocks("http") if block.page.name == PAGE} == sent


async def _setup_mail(running: Whole, purchase_id: str) -> str:
    """The token in the link of the mail, once that has come."""
    async for event in running.shopper.watch(purchase_id, running.operator):
        mails = running.system.mailbox.to("ada@example.com")
        if event["type"] == "message.sent.v1" and any("/setup/" in mail.text for mail in mails):
            break
    (mail,) = (mail for mail in mails if "/setup/" in mail.text)
    return mail.text.split("/setup/")[1].split()[0]


async def _first_event(reader: Reader) -> str:
    asked = Request.read(reader._filled(pages.marked(PAGE, "live").text))
    async with reader.running.client.stream(asked.method, asked.path) as stream:
        assert stream.status_code == 200
        async for line in stream.aiter_lines():
            if line.startswith("data: "):
                return str(line.split('"type":"')[1].split('"')[0])
    return "nothing"
