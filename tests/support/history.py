"""Databases with a long history: so many rows of everything, and where it is wanted a third of it still waiting.

Rows are made by the server. Row `i` of one table belongs to row `i` of the others. What is not named below gets a value
of its type; NULL where the column takes it.
"""

from collections.abc import Collection, Mapping

import asyncpg

DAYS = 31.5  # of history: some of it is older than what is kept
TYPES = {
    "uuid": "lpad(to_hex(i), 32, '0')::uuid",
    "text": "'{column}-' || i",
    "timestamp with time zone": "{time}",
    "jsonb": "'{{}}'",
    "bytea": "int8send(i)",
    "boolean": "false",
    "integer": "1",
    "bigint": "1",
    "double precision": "1",
}
TIME = f"now() - interval '{DAYS} days' * (1 - i::float8 / {{rows}})"
RECENT = "i > {rows} * {older} + {rows} * 0.27"  # of the last day; nothing where nothing waits
OLDER = "i <= {rows} * {older}"
SCATTERED = "md5(i::text)::uuid"  # as ids are that are made of what they name
CONTACT = """'{{"email": "jane@example.com", "name": null, "locale": null, "timezone": null}}'"""
LIMITS = """'{{"memory": "256M", "cpus": 0.5}}'"""

Columns = Mapping[str, str]
COMMON: dict[str, Columns] = {
    "outbox": {
        "subject": "lpad(to_hex(i), 32, '0')::uuid::text",
        "wire": "'purchase.paid.v1'",
        "exchange": "'keyturn.events'",
        "routing_key": "'purchase.paid.v1'",
        "body": "convert_to(repeat(md5(i::text), 16), 'UTF8')",
        "published": f"CASE WHEN {OLDER} THEN {{time}} END",
        "attempts": "0",
    },
    "inbox": {"consumer": "'{service}'", "event_id": SCATTERED, "handled": "{time}"},
    "work": {
        "kind": "'{kind}'",
        "key": "i::text",
        "state": f"CASE WHEN NOT {OLDER} THEN 'open' WHEN i % 10 = 0 THEN 'dead' ELSE 'done' END",
        "due": "{time}",
        "attempts": "0",
        "history": "'[]'",
        "cause": "CASE WHEN i % 10 = 0 THEN 'Retry at somewhere ' || i % 7 END",
        "finished": f"CASE WHEN {OLDER} THEN {{time}} END",
    },
}
COMMON["erasures"] = {"done": f"CASE WHEN {OLDER} THEN {{time}} END"}
PURCHASE = {"product": "'sample-app'", "plan": "'sample-starter'", "contact": CONTACT, "limits": LIMITS}
OWN: dict[str, dict[str, Columns]] = {
    "billing": {
        "customers": {"email": "'jane' || i || '@example.com'"},
        "coupons": {"terms": """'{{"percent": 10, "limit_per_customer": 1}}'""", "source": "'operator'"},
        "purchases": PURCHASE
        | {
            "price_id": f"coalesce((SELECT id FROM prices WHERE currency = 'EUR' LIMIT 1), {TYPES['uuid']})",
            "customer_id": TYPES["uuid"],
            "cycle": "'one_time'",
            "trial_days": "0",
            "amount": "4900",
            "currency": "'EUR'",
            "provider": "'stripe'",
            "state": f"CASE WHEN {RECENT} THEN 'pending' WHEN i % 10 = 0 THEN 'expired' ELSE 'paid' END",
            "refunded": "0",
            "discount": "0",
            "tax_added": "0",
            "buyer": """'{{"email": "jane@example.com"}}'""",
            "expires_at": "{time} + interval '1 day'",
        },
        # Of one coupon that everybody has.
        "redemptions": {"purchase_id": TYPES["uuid"], "customer_id": TYPES["uuid"], "coupon": "'WELCOME10'"},
        "checkouts": {
            "purchase_id": TYPES["uuid"],
            "period": "1",
            "provider": "'stripe'",
            "provider_id": "'cs_old' || i",
            "state": f"CASE WHEN {RECENT} THEN 'open' ELSE 'paid' END",
            "looks": "0",
            "next_look_at": f"CASE WHEN {RECENT} THEN {{time}} + interval '1 minute' END",
        },
        "payments": {
            "provider": "'stripe'",
            "payment_key": "'cs_old' || i",
            "currency": "'EUR'",
            "state": "CASE WHEN i % 50 = 0 THEN 'review' WHEN i % 50 = 1 THEN 'foreign' ELSE 'matched' END",
            "review_reason": "CASE WHEN i % 50 = 0 THEN 'amount' END",
            "found_by": "'webhook'",
            "refs": """('{{"session": "cs_old' || i || '"}}')::jsonb""",
            "purchase_id": TYPES["uuid"],
            "period": "1",
        },
        "payment_refs": {"provider": "'stripe'", "value": "'cs_old' || i"},
        "refunds": {
            "provider": "'stripe'",
            "currency": "'EUR'",
            "next_look_at": f"CASE WHEN NOT {OLDER} THEN {{time}} + interval '40 days' END",
        },
        "refund_requests": {"state": "'sent'"},
        "disputes": {
            "provider": "'stripe'",
            "currency": "'EUR'",
            "state": f"CASE WHEN {OLDER} THEN 'won' ELSE 'open' END",
            "next_look_at": f"CASE WHEN NOT {OLDER} THEN {{time}} + interval '40 days' END",
        },
        "entitlements": PURCHASE | {"wanted": "'on'", "reasons": "'[]'"},
        "subscriptions": {
            "cycle": "'monthly'",
            "collection": "'keyturn'",
            "state": "CASE WHEN i % 10 = 0 THEN 'ended' WHEN i % 10 = 1 THEN 'past_due' ELSE 'active' END",
            "anchor": "{time}",
            "starts_at": "{time}",
            "ends_at": "{time} + interval '1 month'",
            "next_step_at": f"CASE WHEN NOT {OLDER} THEN {{time}} + interval '400 days' END",
        },
        "collected": {
            "provider": "'stripe'",
            "provider_id": "'sub_old' || i",
            "status": "'active'",
            "told": "true",
            "next_look_at": f"CASE WHEN NOT {OLDER} THEN {{time}} + interval '40 days' END",
        },
        "periods": {"lasts": "interval '31 days'"},
        "plan_changes": {"purchase_id": TYPES["uuid"], "state": "'done'", "tax": "'{{}}'", "limits_before": "'{{}}'"},
        "trials": {"customer_id": TYPES["uuid"]},
        "runs": {"finished_at": "{time}"},
        "run_parts": {"state": "'done'", "did": """'["subscription.renewal_due.v1"]'"""},
        "mandates": {},
        "charges": {"provider": "'stripe'", "state": "'failed'"},
        "renewals": {"state": "CASE WHEN i % 10 = 1 THEN 'open' ELSE 'paid' END"},
        "credit_balances": {"customer_id": TYPES["uuid"], "currency": "'EUR'"},
        "credits": {"customer_id": TYPES["uuid"], "currency": "'EUR'"},
        "invoice_series": {"last": "1"},
        "invoices": {
            "kind": "CASE WHEN i % 10 = 0 THEN 'credit_note' ELSE 'invoice' END",
            "purchase_id": TYPES["uuid"],
            "customer_id": TYPES["uuid"],
            "source": "'period-1'",
            "period": "1",
            "currency": "'EUR'",
            "total": "4900",
            "credited": "0",
            "state": "CASE WHEN i % 10 = 1 THEN 'open' WHEN i % 10 = 2 THEN 'void' ELSE 'paid' END",
            "seller": """'{{"name": "Shop"}}'""",
            "buyer": """'{{"email": "jane@example.com"}}'""",
            "lines": "'[]'",
        },
        "notices": {},
        "erasure_reports": {"service": "'gateway'"},
    },
    "provisioner": {
        "installs": PURCHASE
        | {
            "state": "CASE WHEN i % 10 = 0 THEN 'deleted' WHEN i % 10 = 1 THEN 'failed' ELSE 'active' END",
            "wanted": "'on'",
            "reasons": "'[]'",
            "own_reasons": "'[]'",
            "blueprint": "'shop'",
            "settled": "true",
            "ready_at": "{time}",
        },
        "jobs": {"state": "'completed'", "action": "'provision'"},
        "steps": {"state": "'done'", "operation": "'ensure'", "needs": "'[]'"},
        "resources": {
            "state": "CASE WHEN i % 1000 = 0 THEN 'orphan' ELSE 'present' END",
            "kind": "'fake.thing'",
            "customer_named": "'[]'",
            "needs": "'[]'",
        },
        "secrets": {},
        "allocations": {"pool": "'old'", "number": "i"},
        "placements": {"server": "'old'"},
        "names": {
            "kind": "'subdomain'",
            "owner": TYPES["uuid"],
            "reserved_until": f"CASE WHEN NOT {OLDER} THEN {{time}} END",
        },
        "setup_links": {
            "state": f"CASE WHEN {OLDER} THEN 'used' ELSE 'open' END",
            "token_hash": "encode(sha256(int8send(i)), 'hex')",
        },
        "history": {},
    },
    "notifier": {
        "contacts": {"email": "'jane' || i || '@example.com'"},
        "messages": {
            "purchase_id": TYPES["uuid"],
            "template": "'setup'",
            "state": f"CASE WHEN {OLDER} THEN 'sent' ELSE 'pending' END",
            "link_number": "1",
        },
        "attempts": {"number": "1", "outcome": "'sent'"},
    },
    "gateway": {
        "journeys": {"status": "'active'", "purchase_status": "'paid'"},
        "journey_events": {
            "event_id": SCATTERED,
            "purchase_id": f"CASE WHEN i % 20 > 0 THEN {TYPES['uuid']} END",
            "cause": f"CASE WHEN i % 2 = 0 THEN {TYPES['uuid']} END",
            "type": "'purchase.paid.v1'",
            "publisher": "'billing'",
            "data": """jsonb_build_object('payment_key', 'cs_old' || i, 'refs', repeat(md5(i::text), 8))""",
        },
        "journey_refs": {"ref": "'cs_old' || i", "purchase_id": TYPES["uuid"]},
        "audit": {"actor": "'operator' || i % 5", "action": "'act' || i % 7", "subject": "'purchase'"},
        "webhooks": {
            "event_id": "'evt_' || md5(i::text)",
            "digest": "sha256(int8send(i))",
            "body": """convert_to('{{"id": "evt_' || i || '", "type": "nothing", "more": "' || repeat(md5(i::text), 30)
              || '"}}', 'UTF8')""",
            "provider": "CASE WHEN i % 100 = 0 THEN 'razorpay' ELSE 'stripe' END",
            "state": "CASE WHEN i % 5000 = 0 THEN 'unreadable' ELSE 'read' END",
        },
        "checkout_keys": {},
        "rate_buckets": {},
        "sign_in_links": {"expires": "{time} + interval '15 minutes'"},
        "sessions": {"used": "{time}", "expires": "{time} + interval '30 days'"},
    },
}
WAITING = {"billing": "send_refund", "provisioner": "job", "notifier": "mail", "gateway": "event"}  # of which kind


def tables_of(service: str) -> Mapping[str, Columns]:
    return COMMON | OWN[service]


async def fill(
    url: str, service: str, rows: int, *, only: Collection[str] = (), waiting: Collection[str] | None = None
) -> None:
    """`url`: of a superuser, since foreign keys are not looked at. `only` these tables, else all; something waits in
    those of `waiting`, else in all."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET session_replication_role = replica; SET maintenance_work_mem = '256MB'")
        for table in only or tables_of(service):
            names, values = await _expressions(connection, table, tables_of(service)[table])
            older = 0.7 if waiting is None or table in waiting else 1
            words = {"rows": rows, "older": older, "service": service, "kind": WAITING[service]}
            select = ", ".join(values).replace("{time}", TIME).format(**words)
            made = f"SELECT {select} FROM generate_series(1, {rows}) AS i"
            await connection.execute(LATER, table)
            await connection.execute(f"INSERT INTO {table} ({', '.join(names)}) {made}")
            await connection.execute(f"REINDEX TABLE {table}")
        await connection.execute("VACUUM (ANALYZE)")
    finally:
        await connection.close()


async def _expressions(connection: asyncpg.Connection, table: str, given: Columns) -> tuple[list[str], list[str]]:
    found = await connection.fetch(COLUMNS, table)
    chosen = {
        row["name"]: given[row["name"]] if row["name"] in given else _of_type(row["type"], row["name"])
        for row in found
        if row["name"] in given or row["required"]
    }
    assert set(given) - set(PURCHASE) <= set(chosen), table
    return list(chosen), list(chosen.values())


def _of_type(kind: str, column: str) -> str:
    return TYPES[kind].replace("{column}", column)


COLUMNS = """
SELECT attname AS name, format_type(atttypid, NULL) AS type, attnotnull AND attidentity = '' AS required
FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""

# An index that is built of all rows at once takes a quarter of the time.
LATER = "UPDATE pg_index SET indisready = false WHERE indrelid = $1::regclass"
