"""The routes below /v1 that Keyturn uses, as the official SDK calls them."""

import operator
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.delivery import Webhooks
from sandbox.stripe import charging, checkout, coupons, objects, renewing, returning, saving
from sandbox.stripe.account import StripeAccount
from sandbox.stripe.edge import Edge
from sandbox.stripe.errors import StripeProblem, invalid
from sandbox.stripe.params import decode, integer, known, metadata, required

Made = dict[str, Any]
Params = dict[str, Any]
PAGE, MOST = 10, 100


class Api:
    """Translates between HTTP and the account."""

    def __init__(self, account: StripeAccount, edge: Edge, webhooks: Webhooks, pages: str) -> None:
        self._account = account
        self._edge = edge
        self._webhooks = webhooks
        self._pages = pages

    def router(self) -> APIRouter:
        """Every route; what is not here is answered as Stripe answers an unknown URL."""
        account = self._account
        posts: dict[str, Callable[[Params, str], Made]] = {
            "/v1/checkout/sessions": lambda p, _: checkout.create(account, p, self._pages),
            "/v1/checkout/sessions/{id}/expire": lambda _, id_: checkout.expire(account, id_),
            "/v1/payment_intents": lambda p, _: charging.take(account, p),
            "/v1/payment_methods/{id}/detach": lambda _, id_: saving.detach(account, id_),
            "/v1/refunds": lambda p, _: returning.create_refund(account, p),
            "/v1/products": lambda p, _: self._create_product(p),
            "/v1/prices": lambda p, _: self._create_price(p),
            "/v1/customers": lambda p, _: self._create_customer(p),
            "/v1/coupons": lambda p, _: coupons.create(account, p),
            "/v1/subscriptions/{id}": lambda p, id_: renewing.update(account, id_, p),
            "/v1/invoices/{id}/pay": lambda p, id_: renewing.pay_invoice(account, id_, p),
            "/v1/subscriptions/{id}/resume": lambda p, id_: renewing.resume(account, id_, p),
        }
        kinds = {
            "checkout/sessions": "checkout.session",
            "payment_intents": "payment_intent",
            "payment_methods": "payment_method",
            "setup_intents": "setup_intent",
            "charges": "charge",
            "refunds": "refund",
            "disputes": "dispute",
            "products": "product",
            "prices": "price",
            "customers": "customer",
            "coupons": "coupon",
            "subscriptions": "subscription",
            "invoices": "invoice",
            "invoice_payments": "invoice_payment",
            "radar/early_fraud_warnings": "radar.early_fraud_warning",
        }
        router = APIRouter()
        routes = [self._route("POST", path, call) for path, call in posts.items()]
        for path, kind in kinds.items():
            routes.append(self._route("GET", f"/v1/{path}", self._lister(path, kind)))
            routes.append(self._route("GET", f"/v1/{path}/{{id}}", self._getter(kind)))
        routes.append(self._route("GET", "/v1/checkout/sessions/{id}/line_items", self._line_items))
        routes.append(self._route("DELETE", "/v1/subscriptions/{id}", lambda p, id_: renewing.cancel(account, id_, p)))
        routes.append(self._route("GET", "/v1/events", lambda p, _: self._events(p)))
        routes.append(self._route("GET", "/v1/events/{id}", lambda _, id_: self._event(id_)))
        routes.append(Route("/v1/{rest:path}", self._unknown, methods=["GET", "POST", "DELETE"]))
        router.routes.extend(routes)
        return router

    def _route(self, method: str, path: str, call: Callable[[Params, str], Made]) -> Route:
        async def endpoint(request: Request) -> Response:
            async def answer() -> Response:
                text = (await request.body()).decode() if method == "POST" else request.url.query
                params = decode(text)
                expand = params.pop("expand", [])
                made = call(params, request.path_params.get("id", ""))
                return JSONResponse(self._expanded(made, expand))

            return await self._edge.handle(request, answer)

        return Route(path, endpoint, methods=[method])

    async def _unknown(self, request: Request) -> Response:
        message = f"Unrecognized request URL ({request.method}: {request.url.path})."

        async def answer() -> Response:
            raise StripeProblem(404, {"message": message, "type": "invalid_request_error"})

        return await self._edge.handle(request, answer)

    def _getter(self, kind: str) -> Callable[[Params, str], Made]:
        return lambda _, id_: self._account.get(id_, kind)

    def _lister(self, path: str, kind: str) -> Callable[[Params, str], Made]:
        return lambda params, _: self._page(f"/v1/{path}", self._account.all(kind), params)

    def _page(self, url: str, found: list[Made], params: Params) -> Made:
        """Newest first, filtered by any plain field, `created` and the cursors."""
        params = dict(params)
        limit = integer(params, "limit") if "limit" in params else PAGE
        if not 1 <= limit <= MOST:
            raise invalid("Invalid integer: limit must be between 1 and 100", param="limit")
        params.pop("limit", None)
        after, before = params.pop("starting_after", None), params.pop("ending_before", None)
        created = params.pop("created", None)
        found = [one for one in found if _created(one, created) and all(_fits(one, k, v) for k, v in params.items())]
        if after:
            found = found[1 + [one["id"] for one in found].index(after) :]
        if before:
            found = found[: [one["id"] for one in found].index(before)]
        return {"object": "list", "url": url, "has_more": len(found) > limit, "data": found[:limit]}

    def _line_items(self, params: Params, session_id: str) -> Made:
        self._account.get(session_id, "checkout.session", "session")
        lines = self._account.hidden[session_id]["line_items"]
        return self._page(f"/v1/checkout/sessions/{session_id}/line_items", lines, params)

    def _events(self, params: Params) -> Made:
        found = self._account.events[::-1]
        types = params.pop("types", None) or ([params.pop("type")] if "type" in params else None)
        if types:
            found = [one for one in found if one["type"] in types]
        if "delivery_success" in params:
            wanted = params.pop("delivery_success") == "true"
            found = [one for one in found if self._webhooks.succeeded(one["id"]) == wanted]
        return self._page("/v1/events", [self._shown(one) for one in found], params)

    def _event(self, event_id: str) -> Made:
        found = next((one for one in self._account.events if one["id"] == event_id), None)
        if found is None:
            raise invalid(f"No such event: '{event_id}'", param="id", code="resource_missing")
        return self._shown(found)

    def _shown(self, event: Made) -> Made:
        return event | {"pending_webhooks": self._webhooks.pending(event["id"])}

    def _create_product(self, params: Params) -> Made:
        known(params, ("id", "name", "description", "metadata", "active", "images", "tax_code", "url"))
        fields = {"name": required(params, "name"), "description": params.get("description")}
        if "id" in params:
            if params["id"] in self._account.objects:
                raise invalid("Product already exists.", param="id", code="resource_already_exists")
            fields["id"] = params["id"]
        made = objects.product(self._account, metadata=metadata(params), **fields)
        self._account.emit("product.created", made)
        return made

    def _create_price(self, params: Params) -> Made:
        known(params, ("currency", "unit_amount", "product", "recurring", "metadata", "nickname", "lookup_key"))
        product = self._account.get(required(params, "product"), "product", "product")
        made = objects.price(
            self._account,
            amount=integer(params, "unit_amount"),
            currency=required(params, "currency"),
            product=product["id"],
            recurring=checkout.recurring(params["recurring"], "recurring") if "recurring" in params else None,
            metadata=metadata(params),
        )
        self._account.emit("price.created", made)
        return made

    def _create_customer(self, params: Params) -> Made:
        known(params, ("email", "name", "metadata", "description", "phone", "address"))
        fields = {name: params.get(name) for name in ("email", "name", "description", "phone")}
        made = objects.customer(self._account, metadata=metadata(params), **fields)
        self._account.emit("customer.created", made)
        return made

    def _expanded(self, made: Made, expand: list[str]) -> Made:
        """A copy in which the named ids are objects; `data.x` in lists."""
        shown = deepcopy(made)
        for path in expand:
            self._expand([shown], path.split("."))
        return shown

    def _expand(self, of: list[Any], path: list[str]) -> None:
        name, *rest = path
        for one in of:
            if not isinstance(one, dict):
                continue
            value = one.get(name)
            if name == "line_items" and one.get("object") == "checkout.session":
                lines = self._account.hidden[one["id"]]["line_items"]
                value = one[name] = self._page(f"/v1/checkout/sessions/{one['id']}/line_items", lines, {})
            elif name == "payments" and one.get("object") == "invoice":
                paid = [p for p in self._account.all("invoice_payment") if p["invoice"] == one["id"]]
                value = one[name] = self._page(f"/v1/invoices/{one['id']}/payments", deepcopy(paid), {})
            elif isinstance(value, str) and value in self._account.objects:
                value = one[name] = deepcopy(self._account.objects[value])
            elif name not in one:
                raise invalid(f"This property cannot be expanded ({name}).", param="expand")
            if rest:
                self._expand(value if isinstance(value, list) else [value], rest)


def _fits(one: Made, name: str, wanted: Any) -> bool:
    """A filter: a plain field, or Stripe's nested `payment[payment_intent]`, `customer_details[email]`."""
    if isinstance(wanted, dict):
        return all(_fits(one.get(name) or {}, key, value) for key, value in wanted.items())
    if name == "subscription" and one.get("object") == "invoice":
        one = one["parent"]["subscription_details"]
    return bool(str(one.get(name)) == wanted)


def _created(one: Made, wanted: Any) -> bool:
    if wanted is None:
        return True
    if not isinstance(wanted, dict):
        return bool(one["created"] == int(wanted))
    checks: dict[str, Callable[[int, int], bool]] = {
        "gt": operator.gt,
        "gte": operator.ge,
        "lt": operator.lt,
        "lte": operator.le,
    }
    return all(checks[name](one["created"], int(value)) for name, value in wanted.items())
