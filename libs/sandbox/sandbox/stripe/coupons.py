"""Coupons, and the discounts that come of them."""

from typing import Any

from sandbox.calendar import period_after
from sandbox.stripe.account import StripeAccount
from sandbox.stripe.errors import invalid, missing
from sandbox.stripe.params import integer, known, metadata, required

_PARAMS = ("id", "amount_off", "currency", "duration", "duration_in_months", "max_redemptions", "metadata", "name",
           "percent_off", "redeem_by")  # fmt: skip


def create(account: StripeAccount, params: dict[str, Any]) -> dict[str, Any]:
    known(params, _PARAMS)
    if ("amount_off" in params) == ("percent_off" in params):
        raise invalid("You must pass either `amount_off` or `percent_off`.", param="amount_off")
    duration = params.get("duration", "once")
    if duration not in {"forever", "once", "repeating"}:
        raise invalid("Invalid duration: must be one of forever, once, or repeating", param="duration")
    if (duration == "repeating") != ("duration_in_months" in params):
        raise invalid("`duration_in_months` belongs to `repeating`.", param="duration_in_months")
    if params.get("id") in account.objects:
        raise invalid("Coupon already exists.", param="id", code="resource_already_exists")
    if len(params.get("name", "")) > 40:
        raise invalid("Invalid string: name has up to 40 characters.", param="name")
    made = {
        "id": params.get("id") or account.new_id("co"),
        "object": "coupon",
        "amount_off": integer(params, "amount_off") if "amount_off" in params else None,
        "created": account.now(),
        "currency": required(params, "currency") if "amount_off" in params else None,
        "duration": duration,
        "duration_in_months": integer(params, "duration_in_months") if duration == "repeating" else None,
        "livemode": account.livemode,
        "max_redemptions": integer(params, "max_redemptions") if "max_redemptions" in params else None,
        "metadata": metadata(params),
        "name": params.get("name"),
        "percent_off": float(params["percent_off"]) if "percent_off" in params else None,
        "redeem_by": None,
        "times_redeemed": 0,
        "valid": True,
    }
    account.add(made)
    account.emit("coupon.created", made)
    return made


def wanted(account: StripeAccount, params: dict[str, Any]) -> dict[str, Any] | None:
    """The coupon of a session's `discounts`, of which there may be one."""
    discounts = params.get("discounts", [])
    if len(discounts) > 1:
        raise invalid("You may only specify one discount.", param="discounts")
    for name, id_ in discounts[0].items() if discounts else ():
        found = account.objects.get(id_)
        if name != "coupon" or found is None or found["object"] != "coupon":
            raise missing(name.replace("_", " "), id_, f"discounts[0][{name}]")
        if not found["valid"]:
            raise invalid(f"Coupon {id_} is used up or expired.", param="discounts[0][coupon]", code="coupon_expired")
        return found
    return None


def off(coupon: dict[str, Any] | None, subtotal: int) -> int:
    if coupon is None:
        return 0
    if coupon["amount_off"] is not None:
        return min(int(coupon["amount_off"]), subtotal)
    return int(subtotal * coupon["percent_off"] / 100 + 0.5)


def redeem(account: StripeAccount, coupon_id: str | None, subscription_id: str) -> list[str]:
    """The ids of the subscription's discounts."""
    if coupon_id is None:
        return []
    coupon = account.objects[coupon_id]
    coupon["times_redeemed"] += 1
    coupon["valid"] = coupon["max_redemptions"] is None or coupon["times_redeemed"] < coupon["max_redemptions"]
    now, months = account.now(), coupon["duration_in_months"]
    made = account.add(
        {
            "id": account.new_id("di"),
            "object": "discount",
            "checkout_session": None,
            "customer": None,
            "customer_account": None,
            "end": period_after(now, now, {"interval": "month", "interval_count": months}) if months else None,
            "invoice": None,
            "invoice_item": None,
            "promotion_code": None,
            "source": {"coupon": coupon_id, "type": "coupon"},
            "start": now,
            "subscription": subscription_id,
            "subscription_item": None,
        }
    )
    return [made["id"]]


def off_renewal(account: StripeAccount, subscription: dict[str, Any], subtotal: int) -> int:
    """Of a further invoice: `once` was for the first one."""
    total = 0
    for discount_id in subscription["discounts"]:
        discount = account.objects[discount_id]
        coupon = account.objects[discount["source"]["coupon"]]
        over = coupon["duration"] == "once" or (discount["end"] is not None and account.now() >= discount["end"])
        total += 0 if over else off(coupon, subtotal)
    return min(total, subtotal)
