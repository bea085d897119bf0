"""Wires the gateway together: the one place that knows every part."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import httpx
from fastapi import APIRouter
from pydantic import SecretStr
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Scope

from gateway import clients, operators
from gateway.access import Access
from gateway.api import (
    account,
    audit,
    catalog,
    certificates,
    checkout,
    coupons,
    credit,
    customers,
    installs,
    installs_admin,
    invoices,
    journeys,
    messages,
    nginx,
    plans,
    products,
    purchases,
    runs,
    servers,
    setup,
    subscriptions,
    tokens,
    webhooks,
    work,
)
from gateway.buckets import Buckets, Limit
from gateway.deps import GatewayDeps
from gateway.handlers import HANDLERS, WORK
from gateway.intake import Intake, WebhookEndpoints
from gateway.live import LiveJourneys
from gateway.pages import account as account_page
from gateway.pages import invoices as invoice_pages
from gateway.pages import plan as plan_page
from gateway.pages import purchase, rendering, shop
from gateway.pages import setup as setup_page
from gateway.paths import PlainPaths
from gateway.repository.webhooks import Stored, Webhook, store
from gateway.settings import GatewaySettings
from keyturn.batching import Batcher
from keyturn.bus import Bus, connect_bus
from keyturn.clock import Clock
from keyturn.database import Database
from keyturn.internal import InternalClient, Signer
from keyturn.log import get_logger
from keyturn.service import Service

NAME = "gateway"

log = get_logger()

ROUTERS: Sequence[APIRouter] = (
    products.router,
    catalog.router,
    checkout.router,
    webhooks.router,
    installs.router,
    journeys.router,
    setup.router,
    account.router,
    purchases.router,
    subscriptions.router,
    plans.router,
    coupons.router,
    customers.router,
    invoices.router,
    credit.router,
    runs.router,
    installs_admin.router,
    certificates.router,
    servers.router,
    nginx.router,
    work.router,
    messages.router,
    audit.router,
    tokens.router,
    shop.router,
    purchase.router,
    invoice_pages.router,
    plan_page.router,
    setup_page.router,
    account_page.router,
    rendering.router,
)

FORGERIES = Limit(burst=20, per_minute=60)
BODY_LIMIT = 64 * 1024  # bytes: several times the largest order; a form takes as long to read as it may be large


def build(
    settings: GatewaySettings,
    *,
    clock: Clock | None = None,
    bus: Bus | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Service[GatewayDeps]:
    """`transport`: how the other services are reached, for tests that stand in for them."""
    clock = clock or settings.make_clock()
    database = Database(settings.database_url, service=NAME, clock=clock)
    deps = _deps(settings, clock, database, transport)
    service = Service(
        name=NAME,
        settings=settings,
        clock=clock,
        database=database,
        bus=bus or connect_bus(settings.bus_url, service=NAME, replica=settings.replica),
        deps=deps,
        handlers=HANDLERS,
        work=WORK,
        package=NAME,
        port=settings.port,
        routers=ROUTERS,
        background=_background(deps),
        body_limit=BODY_LIMIT,
        body_limits=dict.fromkeys(("/api/catalog", "/api/catalog/diff"), catalog.LARGEST),
        closing=[deps.billing.close, deps.provisioner.close, deps.notifier.close],
    )
    _put_in_front(service, intake(deps))
    rendering.install_pages(service.app)
    return service


def intake(deps: GatewayDeps) -> Intake:
    settings, database = deps.settings, deps.database

    async def write(webhooks: Sequence[Webhook]) -> list[Stored]:
        stored = await store(database, webhooks)
        new = [webhook.event_id for webhook, what in zip(webhooks, stored, strict=True) if what == "stored"]
        log.info("webhooks_stored", count=len(new), duplicates=len(stored) - len(new), first=new[:5])
        return stored

    def address(scope: Scope) -> str:
        return clients.address(scope, settings.trusted_proxies)

    return Intake(
        secrets={
            "stripe": _secrets(settings.stripe_webhook_secret),
            "razorpay": _secrets(settings.razorpay_webhook_secret),
        },
        store=Batcher(write).put,
        clock=deps.clock,
        forgeries=Buckets(FORGERIES),
        address=address,
    )


def _deps(
    settings: GatewaySettings, clock: Clock, database: Database, transport: httpx.AsyncBaseTransport | None
) -> GatewayDeps:
    signer = Signer.from_seed(settings.signing_key.get_secret_value())
    asking = partial(InternalClient, signer=signer, transport=transport)
    return GatewayDeps(
        settings=settings,
        clock=clock,
        database=database,
        access=Access(settings.session_key),
        live=LiveJourneys(database),
        billing=asking(settings.billing_url, "billing", timeout=25),  # it waits for the provider in turn
        provisioner=asking(
            settings.provisioner_url, "provisioner", timeout=25
        ),  # setting a password waits for the install
        notifier=asking(settings.notifier_url, "notifier"),
    )


def _background(deps: GatewayDeps) -> list[Callable[[], Awaitable[None]]]:
    steps: list[Callable[[], Awaitable[None]]] = [deps.live.run]
    if file := deps.settings.operator_token_file:
        steps.append(partial(operators.make_first_operator, deps.database, file))
    return steps


def _secrets(given: Sequence[SecretStr]) -> tuple[bytes, ...]:
    return tuple(secret.get_secret_value().encode() for secret in given)


def _put_in_front(service: Service[GatewayDeps], webhooks: Intake) -> None:
    """Outermost last: webhooks pass nothing else; what browsers may see is decided before any route is looked for."""
    service.app.add_middleware(
        CORSMiddleware,
        allow_origins=sorted(service.deps.settings.origins),
        allow_credentials=True,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["authorization", "content-type", "idempotency-key", "last-event-id", "x-access-token"],
        expose_headers=["retry-after"],
        max_age=600,
    )
    service.app.add_middleware(PlainPaths)
    service.front = WebhookEndpoints(service.app, webhooks)
