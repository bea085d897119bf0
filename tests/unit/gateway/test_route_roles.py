"""Which role each route of the gateway demands: the table is read from the routes themselves."""

from collections.abc import Iterator

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from gateway.app import ROUTERS
from gateway.operators import Demands
from gateway.sessions import Demands as SignedIn

OPEN = {
    "GET /api/install/by-purchase/{order_id}",
    "GET /api/install/{install_id}",
    "GET /api/install/{install_id}/invoices",
    "GET /api/install/{install_id}/invoices/{number}",
    "GET /api/install/{install_id}/invoices/{number}.pdf",
    "POST /api/install/{install_id}/access",
    "POST /api/install/{install_id}/checkout",
    "POST /api/install/{install_id}/cancel",
    "POST /api/install/{install_id}/card",
    "POST /api/install/{install_id}/keep",
    "POST /api/install/{install_id}/pause",
    "POST /api/install/{install_id}/plan",
    "POST /api/install/{install_id}/plan/quote",
    "POST /api/install/{install_id}/resume",
    "GET /api/journeys/{purchase_id}/events",
    "POST /api/journeys/{purchase_id}/ticket",
    "GET /api/setup/{token}",
    "POST /api/setup/{token}",
    "POST /api/checkout",
    "POST /api/checkout/create-session",
    "POST /api/create-checkout",
    "POST /api/checkout/razorpay/confirm",
    "POST /api/check-subdomain",
    "GET /api/products",
    "POST /api/check-coupon",
    "POST /api/account/link",
    "POST /api/account/session",
    "DELETE /api/account/session",
}
CUSTOMER = {"GET /api/account", "GET /api/account/export", "POST /api/account/erasure"}
ADMIN = {
    "POST /api/credits",
    "POST /api/credits/forfeit",
    "POST /api/credits/pay-out",
    "POST /api/purchases/{purchase_id}/refund",
    "POST /api/payments/{payment_id}/refund",
    "POST /api/installs/{install_id}/delete",
    "POST /api/customers/{customer_id}/erase",
    "GET /api/tokens",
    "POST /api/tokens",
    "DELETE /api/tokens/{token_id}",
    "POST /api/catalog",
    "POST /api/catalog/diff",
    "POST /api/servers/{name}",
    "POST /api/servers/{name}/remove",
}


def routes() -> Iterator[tuple[str, str | None]]:
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.path.startswith("/api/"):
                for method in route.methods or ():
                    yield f"{method} {route.path}", demanded(route.dependant)


def demanded(dependant: Dependant) -> str | None:
    calls = [dependant.call, *(inner.call for inner in dependant.dependencies)]
    return next((call.role for call in calls if isinstance(call, Demands | SignedIn)), None)


def test_only_what_customers_and_providers_use_is_open() -> None:
    assert {path for path, role in routes() if role is None} == OPEN


def test_what_customers_do_with_all_of_theirs_needs_a_session() -> None:
    assert {path for path, role in routes() if role == "customer"} == CUSTOMER


def test_what_moves_money_or_destroys_or_gives_rights_needs_an_admin() -> None:
    assert {path for path, role in routes() if role == "admin"} == ADMIN


def test_viewer_changes_nothing() -> None:
    assert {path.split()[0] for path, role in routes() if role == "viewer"} == {"GET"}


def test_every_change_by_an_operator_needs_at_least_that_role() -> None:
    changing = {path: role for path, role in routes() if role and role != "customer" and not path.startswith("GET ")}
    assert set(changing.values()) == {"operator", "admin"}
