"""The statements behind a worker's leases. Due times come from our clock as a parameter; leases live by the
database's, which is one for all replicas."""

# The first of each kind, past however much of another kind waits; of these as many as their part has room for.
# What is found goes into an array: however many rows are due, the planner then expects a handful, and takes the index.
# A claim waits for no disk: one that a crash of the server forgets is made again, and its fence, which grows with time,
# is not given twice.
CLAIM = """
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
due AS (
  SELECT first.id, part, most, due FROM unnest($2::text[], $3::int[], $4::int[]) AS mine(kind, part, most)
  CROSS JOIN LATERAL (
    SELECT id, due FROM work
    WHERE state = 'open' AND work.kind = mine.kind AND due <= $1
      AND (leased_until IS NULL OR leased_until < clock_timestamp())
    ORDER BY due LIMIT most FOR UPDATE SKIP LOCKED) AS first),
found AS (
  SELECT id FROM (SELECT id, most, row_number() OVER (PARTITION BY part ORDER BY due) AS place FROM due) AS placed
  WHERE place <= most)
UPDATE work SET fence = greatest(fence + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint),
  attempts = attempts + 1, leased_until = clock_timestamp() + $5::interval,
  worker = $6, started = coalesce(started, $1)
FROM quick WHERE work.id = ANY(ARRAY(SELECT id FROM found))
RETURNING work.id, kind, key, payload, subject, attempts, created, fence, started, body, history, traceparent,
  causationid
"""

# Our own transactions hold the row with KEY SHARE, which is not in the way. One that is being written right now is held
# as well: it is not waited for.
RENEW = """
WITH held AS (
  SELECT work.id FROM work JOIN unnest($1::uuid[], $2::bigint[]) AS mine(id, fence) USING (id, fence)
), free AS (
  SELECT id FROM work WHERE id IN (SELECT id FROM held) AND leased_until IS NOT NULL FOR NO KEY UPDATE SKIP LOCKED
), renewed AS (
  UPDATE work SET leased_until = clock_timestamp() + $3::interval WHERE id IN (SELECT id FROM free))
SELECT id FROM held
"""

ENSURE = """
INSERT INTO work (id, kind, key, due, created)
SELECT gen_random_uuid(), kind, 'every', $2::timestamptz, $2::timestamptz FROM unnest($1::text[]) AS kind
ON CONFLICT (kind, key) WHERE state = 'open' DO NOTHING RETURNING id
"""

RELEASE = """
UPDATE work SET leased_until = NULL, worker = NULL, attempts = attempts - 1
WHERE id = $1 AND fence = $2 AND state = 'open'
"""
