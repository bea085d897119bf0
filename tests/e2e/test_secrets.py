"""Rule 17: no secret in anything that is written, apart from the setup link in its own mail."""

import base64
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from sandbox.postgres import SERVICES
from sandbox.secrets import load
from support.ways import OVER_RABBITMQ
from support.whole import Begin, Way, Whole

pytestmark = [pytest.mark.servers, OVER_RABBITMQ]
Written = AsyncIterator[tuple[str, str]]


async def test_rule_17_no_secret_is_in_anything_that_the_system_writes(way: Way, begin: Begin) -> None:
    """Logs at their most talkative, all four databases, what waits in the broker, answers to operators, and mails."""
    async with begin(way, LOG_LEVEL="DEBUG") as system:
        tokens = await _live_a_full_life(system)
        secrets = {**load(system.system.folder), **tokens, "password": system.password}
        del secrets["RAZORPAY_KEY_ID"]  # every browser gets it
        secrets["operator token"] = system.operator["authorization"].removeprefix("Bearer ")
        written = [one async for one in _written(system)]
    assert {where.split(":")[0] for where, _ in written} >= {"database", "answer", "mail"}
    found = {
        f"{name} in {where}"
        for name, value in secrets.items()
        for shape in _shapes(value)
        for where, text in written
        if shape in text and not (name.startswith("setup token") and where.startswith("mail: setup"))
    }
    assert not found


async def _live_a_full_life(system: Whole) -> dict[str, str]:
    """Both providers, refused passwords, a replaced link, a refused mail, a suspension, money back. Gives the tokens."""
    tokens: dict[str, str] = {}
    for provider in ("stripe", "razorpay"):
        bought = await system.order(provider)
        system.system.mailbox.refuse(bought.email, "452 4.2.2 come back later", times=1)
        system.shopper.pay(bought)
        first = await system.link(bought)
        await system.client.get(first)
        await system.client.post(f"/api/setup/{_token(first)}", json={"password": system.password})
        await system.tell(f"/api/installs/{bought.purchase_id}/reissue")
        second = await system.link(bought, other_than=first)
        tokens |= {f"setup token {provider} {n}": _token(link) for n, link in enumerate((first, second))}
        tokens[f"access token {provider}"] = bought.access_token
        await system.activate(bought)
        refused = {"password": system.password, "confirmPassword": system.password}
        await system.client.post(f"/api/setup/{_token(second)}", json=refused)
        for action, event in (("suspend", "suspended"), ("resume", "resumed")):
            await system.tell(f"/api/installs/{bought.purchase_id}/{action}")
            await system.wait_for(bought, f"install.{event}")
        await system.tell(f"/api/purchases/{bought.purchase_id}/refund")
    await system.client.post("/api/webhooks/stripe", content=b"{}", headers={"stripe-signature": "t=1,v1=00"})
    await system.settled()
    return tokens


async def _written(system: Whole) -> Written:
    async for found in _databases(system):
        yield found
    async for found in _answers(system):
        yield found
    for mail in system.system.mailbox.to():
        kind = "setup" if "/setup/" in mail.text else "other"
        yield f"mail: {kind} {mail.subject}", mail.raw.decode(errors="replace") + mail.text + mail.html
    for log in system.system.folder.glob("logs/*.log"):
        yield f"log: {log.name}", log.read_text()
    if system.broker and system.vhost:
        for service in SERVICES:
            for body in system.broker.bodies(system.vhost, f"{service}.dead"):
                yield f"broker: {service}.dead", body.decode(errors="replace")


async def _databases(system: Whole) -> Written:
    for service in SERVICES:
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        for row in await system.traces.rows(service, tables):
            rows = await system.traces.rows(service, f'SELECT * FROM "{row[0]}"')
            yield f"database: {service}.{row[0]}", "\n".join(_texts(rows))


async def _answers(system: Whole) -> Written:
    for path in ("/api/installs", "/api/purchases", "/api/messages", "/api/work", "/api/work?state=done", "/api/audit"):
        yield f"answer: {path}", (await system.client.get(path, headers=system.operator)).text
    for item in (await system.ask("/api/purchases"))["items"]:
        for path in ("/api/journeys", "/api/installs", "/api/purchases"):
            yield f"answer: {path}", (await system.client.get(f"{path}/{item['id']}", headers=system.operator)).text


def _texts(rows: Any) -> Iterator[str]:
    for row in rows:
        for value in row.values():
            yield value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _shapes(value: str) -> set[str]:
    """The secret as it is, and as it might have been written."""
    parts = {value, *(part.partition(":")[2] for part in value.split(",") if ":" in part)}
    encoded = {base64.b64encode(part.encode()).decode().rstrip("=") for part in parts}
    digits = {part.encode().hex() for part in parts}
    return {shape for part in {*parts, *encoded, *digits} for shape in (part, quote(part, safe=""))}


def _token(link: str) -> str:
    return link.rsplit("/", 1)[-1]
