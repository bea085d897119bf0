"""What the books say after the year, and whether they agree with each other and with what the providers took."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from support.billing import World

BOOKS = """SELECT currency,
    count(*) FILTER (WHERE kind = 'invoice' AND state = 'paid') AS paid,
    count(*) FILTER (WHERE kind = 'invoice' AND state = 'open') AS open,
    count(*) FILTER (WHERE kind = 'invoice' AND state = 'void') AS void,
    coalesce(sum(total) FILTER (WHERE kind = 'invoice' AND state = 'paid'), 0)::bigint AS invoiced,
    coalesce(sum(credited) FILTER (WHERE kind = 'invoice' AND state = 'paid'), 0)::bigint AS credited
  FROM invoices GROUP BY currency ORDER BY currency"""
PAID = """SELECT currency, sum(amount)::bigint AS paid FROM payments
  WHERE state = 'matched' AND provider <> 'free' GROUP BY currency"""
BACK = "SELECT currency, sum(amount)::bigint AS back FROM refunds WHERE NOT failed GROUP BY currency"
NOTES = """SELECT currency, sum(total)::bigint AS noted FROM invoices
  WHERE kind <> 'invoice' AND state <> 'void' GROUP BY currency"""

# Each finds nothing, or the books are wrong.
AGREE: dict[str, str] = {
    "a payment that no invoice tells of, or with another amount": """
        SELECT p.id FROM payments p LEFT JOIN invoices i ON i.payment_id = p.id AND i.kind = 'invoice'
        WHERE p.state = 'matched' AND p.amount > 0 AND i.total - i.credited IS DISTINCT FROM p.amount""",
    "a paid invoice without its payment": """
        SELECT id FROM invoices WHERE kind = 'invoice' AND state = 'paid' AND payment_id IS NULL""",
    "lines that do not add up": """
        SELECT i.id FROM invoices i CROSS JOIN LATERAL (
          SELECT sum((l->>'net')::bigint) AS net, sum((l->>'tax')::bigint) AS tax
          FROM jsonb_array_elements(i.lines) l) s
        WHERE s.net <> i.net OR s.tax <> i.tax OR i.net + i.tax <> i.total""",
    "a gap or an overlap between two periods": """
        SELECT a.purchase_id FROM periods a JOIN periods b ON b.purchase_id = a.purchase_id AND b.number = a.number + 1
        WHERE a.ends_at <> b.starts_at""",
    "a number of a period that is missing": """
        SELECT purchase_id FROM periods GROUP BY purchase_id HAVING max(number) <> count(*)""",
    "a payment of a period that never was": """
        SELECT p.id FROM payments p JOIN subscriptions USING (purchase_id)
        LEFT JOIN periods q ON q.payment_id = p.id WHERE p.state = 'matched' AND q.number IS DISTINCT FROM p.period""",
    "a payment that nobody owed": "SELECT id FROM payments WHERE state <> 'matched'",
    "a subscription that is over and whose install is not": """
        SELECT s.purchase_id FROM subscriptions s JOIN entitlements e USING (purchase_id)
        WHERE (s.state = 'ended') <> (e.wanted = 'ended')""",
    "a subscription that nobody ended": "SELECT purchase_id FROM subscriptions WHERE state <> 'ended'",
    "an end that says not when everything is to be deleted": """
        SELECT purchase_id FROM entitlements WHERE (wanted = 'ended') <> (delete_after IS NOT NULL)""",
    "an end that was told otherwise, or not at all": """
        SELECT e.purchase_id FROM entitlements e LEFT JOIN (
          SELECT DISTINCT ON (subject) subject, convert_from(body, 'UTF8')::jsonb->'data' AS said FROM outbox
          WHERE wire = 'entitlement.changed.v1' ORDER BY subject, id DESC) told ON told.subject = e.purchase_id::text
        WHERE (said->>'wanted', (said->>'delete_after')::timestamptz) IS DISTINCT FROM (e.wanted, e.delete_after)""",
    "work that died": "SELECT id FROM work WHERE state = 'dead'",
}
NUMBERS = "SELECT number FROM invoices"
DELETED = """
SELECT round(extract(epoch FROM delete_after - changed_at) / 86400)::int AS what, count(*) AS count
FROM entitlements WHERE wanted = 'ended' GROUP BY 1
"""


@dataclass
class Ledger:
    lines: list[dict[str, Any]]
    taken: Counter[str]  # by the providers' own books
    given_back: Counter[str]
    ends: Counter[str]  # how the subscriptions ended
    charges: Counter[str]  # of saved cards, and what came of them
    deletions: Counter[str]  # asked for so many days after the end
    wrong: list[str] = field(default_factory=list)
    lost: int = 0  # payments made while billing was away, of which nobody told it
    seconds: float = 0.0

    def __str__(self) -> str:
        rows = [[str(line[name]) for name in HEADINGS] for line in self.lines]
        widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
        table = [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in [HEADINGS, *rows]
        ]
        ended, charged = (
            ", ".join(f"{what} {count}" for what, count in sorted(counted.items()))
            for counted in (self.ends, self.charges)
        )
        deleted = ", ".join(f"{count} after {days} days" for days, count in sorted(self.deletions.items(), key=_days))
        lines = [
            f"cards: {charged}",
            f"ended: {ended}",
            f"deletion: {deleted} (what billing tells; only billing runs here)",
            f"paid while billing was away for two days, and found by asking: {self.lost}",
        ]
        balances = ["It balances, and each of its runs once more changes nothing."]
        verdict = [f"WRONG: {one}" for one in self.wrong] or balances
        return "\n".join([*table, *lines, *verdict, f"{self.seconds:.0f} s"])


def _days(counted: tuple[str, int]) -> int:
    return int(counted[0])


HEADINGS = ["currency", "invoices", "void", "open", "invoiced", "credited", "paid", "refunded", "noted"]


async def keep(billing: World) -> Ledger:
    taken, back = _providers(billing)
    paid, refunded, noted = [
        {one["currency"]: one[name] for one in await billing.rows(sql)}
        for sql, name in ((PAID, "paid"), (BACK, "back"), (NOTES, "noted"))
    ]
    lines = [
        {
            "currency": (currency := book["currency"]),
            "invoices": book["paid"],
            "void": book["void"],
            "open": book["open"],
            "invoiced": book["invoiced"],
            "credited": book["credited"],
            "paid": paid.get(currency, 0),
            "refunded": refunded.get(currency, 0),
            "noted": noted.get(currency, 0),
        }
        for book in await billing.rows(BOOKS)
    ]
    ends = await _counted(billing, "SELECT ended_because AS what, count(*) AS count FROM subscriptions GROUP BY 1")
    charges = await _counted(billing, "SELECT state AS what, count(*) AS count FROM charges GROUP BY 1")
    ledger = Ledger(lines, taken, back, ends, charges, await _counted(billing, DELETED))
    ledger.wrong = [*_sums(ledger), *await _disagreements(billing), *await _gaps(billing)]
    return ledger


async def _counted(billing: World, sql: str) -> Counter[str]:
    return Counter({str(one["what"]): one["count"] for one in await billing.rows(sql)})


def _providers(billing: World) -> tuple[Counter[str], Counter[str]]:
    taken: Counter[str] = Counter()
    back: Counter[str] = Counter()
    for provider in (billing.stripe, billing.razorpay):
        for payments in provider.paid.values():
            for payment in payments:
                taken[payment.currency] += payment.amount
                back[payment.currency] += provider.returned[payment.payment_key]
    return taken, back


def _sums(ledger: Ledger) -> list[str]:
    wrong = []
    for line in ledger.lines:
        currency = line["currency"]
        for what, here, there in (
            ("the provider took and billing booked", ledger.taken[currency], line["paid"]),
            ("was invoiced and was paid", line["invoiced"] - line["credited"], line["paid"]),
            ("the provider gave back and billing booked", ledger.given_back[currency], line["refunded"]),
            ("went back and credit notes tell", line["refunded"], line["noted"]),
        ):
            if here != there:
                wrong.append(f"{currency}: what {what}: {here}, {there}")
    return wrong


async def _disagreements(billing: World) -> list[str]:
    found = {what: len(await billing.rows(sql)) for what, sql in AGREE.items()}
    return [f"{what}: {count}" for what, count in found.items() if count]


async def _gaps(billing: World) -> list[str]:
    series: dict[str, list[int]] = defaultdict(list)
    for row in await billing.rows(NUMBERS):
        name, _, number = row["number"].rpartition("-")
        series[name].append(int(number))
    return [f"{name} has gaps" for name, had in series.items() if sorted(had) != list(range(1, len(had) + 1))]
