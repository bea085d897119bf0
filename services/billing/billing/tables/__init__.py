"""The tables of billing by subject, and which class of the rules each row is. Only `repository` imports this."""

from sqlalchemy.orm import registry

from billing import collecting, domain, reversals
from billing.invoices import Invoice
from billing.mandates import Charge, Mandate
from billing.plan_changes import PlanChange
from billing.subscriptions import Period, Renewal, Subscription
from billing.tables.billed import credit_balances, credit_entries, invoice_series, invoices, shop
from billing.tables.bought import (
    checkouts,
    customers,
    entitlements,
    erasure_reports,
    notices,
    purchases,
    trials,
    used_trials,
)
from billing.tables.columns import metadata
from billing.tables.paid import disputes, payment_refs, payments, refund_requests, refunds, sweeps
from billing.tables.ran import run_parts, runs, schedules
from billing.tables.sold import catalogs, coupons, plans, prices, products, redemptions
from billing.tables.subscribed import charges, collected, mandates, periods, plan_changes, renewals, subscriptions

__all__ = [
    "catalogs",
    "charges",
    "checkouts",
    "collected",
    "coupons",
    "credit_balances",
    "credit_entries",
    "customers",
    "disputes",
    "entitlements",
    "erasure_reports",
    "invoice_series",
    "invoices",
    "mandates",
    "metadata",
    "notices",
    "payment_refs",
    "payments",
    "periods",
    "plan_changes",
    "plans",
    "prices",
    "products",
    "purchases",
    "redemptions",
    "refund_requests",
    "refunds",
    "renewals",
    "run_parts",
    "runs",
    "schedules",
    "shop",
    "subscriptions",
    "sweeps",
    "trials",
    "used_trials",
]

_mapper = registry(metadata=metadata)

for _class, _table in (
    (domain.Customer, customers),
    (domain.Purchase, purchases),
    (domain.Checkout, checkouts),
    (domain.Payment, payments),
    (reversals.Refund, refunds),
    (reversals.RefundRequest, refund_requests),
    (reversals.Dispute, disputes),
    (domain.Entitlement, entitlements),
    (Subscription, subscriptions),
    (collecting.Collected, collected),
    (Period, periods),
    (Renewal, renewals),
    (PlanChange, plan_changes),
    (Invoice, invoices),
    (Mandate, mandates),
    (Charge, charges),
):
    _mapper.map_imperatively(_class, _table)
