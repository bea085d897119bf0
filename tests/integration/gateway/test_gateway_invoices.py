"""Invoices at the edge: a customer sees those of their purchase, operators all, nobody else anything."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from support.gateway import Gateway
from support.journeys import EMAIL, Story, hear

pytestmark = pytest.mark.servers
NUMBER = "INV-2026-000001"
LINE = {
    "text": "Shop, Small", "since": None, "until": None, "amount": 4900, "discount": 0, "net": 4118, "tax": 782,
    "rate": "VAT 19 %", "percent": "19", "inclusive": True,
}  # fmt: skip
INVOICE: dict[str, Any] = {
    "number": NUMBER, "kind": "invoice", "corrects": None, "livemode": True, "net": 4118, "tax": 782, "total": 4900,
    "credited": 0, "due": 4900, "currency": "USD", "status": "paid", "issued_at": "2026-12-01T10:00:00+00:00",
    "due_at": "2026-12-01T10:00:00+00:00", "lines": [LINE], "taxes": [{"name": "VAT 19 %", "tax": 782}],
    "seller": {"name": "Shop Ltd", "address": [], "country": "DE", "tax_id": None, "email": None, "footer": ""},
    "buyer": {"email": EMAIL, "name": "<b>Ada</b>", "company": None, "country": None, "tax_id": None},
}  # fmt: skip


def answering(document: Any) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(200, json=document)


@pytest.fixture
async def story(gateway: Gateway) -> Story:
    told = Story()
    await hear(gateway.service.database, *told.whole)
    answers, path = gateway.services.answers, f"/internal/purchases/{told.id}/invoices"
    answers[path] = answering({"items": [INVOICE], "cursor": None})
    answers[f"{path}/{NUMBER}"] = answering(INVOICE)
    return told


async def test_a_customer_sees_lists_pages_and_pdfs_of_their_own(gateway: Gateway, story: Story) -> None:
    await gateway.client.post(f"/purchases/{story.id}", data={"email": EMAIL})
    listed = (await gateway.client.get(f"/api/install/{story.id}/invoices")).json()
    assert [one["number"] for one in listed["items"]] == [NUMBER]
    one = (await gateway.client.get(f"/api/install/{story.id}/invoices/{NUMBER}")).json()
    assert (one["lines"][0]["net"], one["seller"]["name"]) == (4118, "Shop Ltd")
    page = (await gateway.client.get(f"/purchases/{story.id}/invoices/{NUMBER}")).text
    assert all(text in page for text in ("Shop Ltd", "$49.00", "&lt;b&gt;Ada", f"{NUMBER}.pdf"))
    path = f"/internal/purchases/{story.id}/invoices"
    gateway.services.answers[path] = answering({"items": [INVOICE], "cursor": "more"})
    listed = (await gateway.client.get(f"/purchases/{story.id}/invoices?cursor=c")).text
    assert gateway.services.asked[-1].url.query == b"cursor=c&limit=50"
    assert all(text in listed for text in (f"{NUMBER}.pdf", "invoices?cursor=more"))
    assert f"/purchases/{story.id}/invoices" in (await gateway.client.get(f"/purchases/{story.id}")).text
    pdf = await gateway.client.get(f"/api/install/{story.id}/invoices/{NUMBER}.pdf")
    assert (pdf.headers["content-type"], pdf.content[:5]) == ("application/pdf", b"%PDF-")
    assert pdf.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["", f"/{NUMBER}", f"/{NUMBER}.pdf"])
async def test_nobody_else_sees_any(gateway: Gateway, story: Story, path: str) -> None:
    for purchase in (story.id, uuid4()):
        answer = await gateway.client.get(f"/api/install/{purchase}/invoices{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "install_not_found")
        if not path.endswith(".pdf"):
            assert (await gateway.client.get(f"/purchases/{purchase}/invoices{path}")).status_code == 404


async def test_pdfs_are_few_for_one_address(gateway: Gateway, story: Story) -> None:
    path = f"/api/install/{story.id}/invoices/{NUMBER}.pdf"
    codes = [(await gateway.client.get(path)).status_code for _ in range(21)]
    assert codes == [404] * 20 + [429]


async def test_operators_see_all(gateway: Gateway, admin: str) -> None:
    headers = {"authorization": f"Bearer {admin}"}
    answers = gateway.services.answers
    answers["/internal/invoices"] = answering({"items": [INVOICE], "cursor": "next"})
    answers[f"/internal/invoices/{NUMBER}"] = answering(INVOICE)
    listed = (await gateway.client.get("/api/invoices?status=paid", headers=headers)).json()
    assert listed["nextCursor"] == "next"
    assert (await gateway.client.get(f"/api/invoices/{NUMBER}", headers=headers)).json()["tax"] == 782
    assert (await gateway.client.get(f"/api/invoices/{NUMBER}.pdf", headers=headers)).content[:5] == b"%PDF-"
    assert (await gateway.client.get(f"/api/invoices/{NUMBER}.pdf")).status_code == 401
    assert (await gateway.client.get("/api/invoices/..%2Fpayments", headers=headers)).status_code in {404, 422}
