"""Token buckets and idempotency keys: each question is one statement, so that replicas cannot race."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from gateway.buckets import Limit
from keyturn.database import Transaction

KEEP_KEYS = timedelta(hours=24)
KEEP_BUCKETS = timedelta(hours=1)  # every bucket is full again long before
BATCH = 1_000

_REFILLED = "least($2, b.tokens + greatest(0, extract(epoch FROM $3 - b.updated))::float8 * $4)"
TAKE = f"""
INSERT INTO rate_buckets AS b (key, tokens, granted, updated) VALUES ($1::text, $2::float8 - 1, true, $3::timestamptz)
ON CONFLICT (key) DO UPDATE SET
  tokens = {_REFILLED} - CASE WHEN {_REFILLED} >= 1 THEN 1 ELSE 0 END,
  granted = {_REFILLED} >= $5::float8,
  updated = greatest(b.updated, $3)
RETURNING granted, tokens
"""  # noqa: S608 - no value is put in

# An expired key is taken over as if it were new.
CLAIM = """
INSERT INTO checkout_keys AS k (key, request, purchase_id, created) VALUES ($1, $2, $3, $4)
ON CONFLICT (key) DO UPDATE SET
  request = CASE WHEN k.created < $5 THEN excluded.request ELSE k.request END,
  purchase_id = CASE WHEN k.created < $5 THEN excluded.purchase_id ELSE k.purchase_id END,
  created = CASE WHEN k.created < $5 THEN excluded.created ELSE k.created END
RETURNING request, purchase_id, created
"""

OLD_KEYS = """
DELETE FROM checkout_keys WHERE key = ANY(ARRAY(
  SELECT key FROM checkout_keys WHERE created < $1 ORDER BY created LIMIT $2)) RETURNING 1
"""
OLD_BUCKETS = """
DELETE FROM rate_buckets WHERE key = ANY(ARRAY(
  SELECT key FROM rate_buckets WHERE updated < $1 ORDER BY updated LIMIT $2)) RETURNING 1
"""


@dataclass(frozen=True)
class Claim:
    """The request that a key stands for since `created`: the first one that came with it."""

    request: bytes
    purchase_id: UUID
    created: datetime


async def take_token(tx: Transaction, key: str, limit: Limit) -> int:
    """0 where there was a token to take; otherwise the seconds to wait."""
    rows = await tx.run(TAKE, key, float(limit.burst), tx.now, limit.per_second, 1.0)
    return 0 if rows[0].granted else limit.wait(rows[0].tokens)


async def claim_key(tx: Transaction, key: bytes, request: bytes, purchase_id: UUID) -> Claim:
    """What the key stands for: this request, unless another came first within the time that keys are kept."""
    rows = await tx.run(CLAIM, key, request, purchase_id, tx.now, tx.now - KEEP_KEYS)
    return Claim(request=rows[0].request, purchase_id=rows[0].purchase_id, created=rows[0].created)


async def release_key(tx: Transaction, key: bytes, purchase_id: UUID) -> None:
    """The key stands for nothing again, unless it stands for another purchase by now."""
    await tx.run("DELETE FROM checkout_keys WHERE key = $1 AND purchase_id = $2", key, purchase_id)


async def delete_old(tx: Transaction) -> bool:
    """Deletes a bounded number of what has expired; whether there may be more."""
    keys = await tx.run(OLD_KEYS, tx.now - KEEP_KEYS, BATCH)
    buckets = await tx.run(OLD_BUCKETS, tx.now - KEEP_BUCKETS, BATCH)
    return BATCH in {len(keys), len(buckets)}
