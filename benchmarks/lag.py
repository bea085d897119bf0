"""The event-loop lag of a service, as its own metric tells it."""

import math
import re
import urllib.request
from collections.abc import Mapping

_BUCKET = re.compile(r'^keyturn_loop_lag_seconds_bucket\{le="([^"]+)",.*\} (\S+)$', re.MULTILINE)

Counts = Mapping[float, float]  # how many looks were at most so many seconds late


def counts(port: int) -> Counts:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return {float(most): float(count) for most, count in _BUCKET.findall(answer.read().decode())}


def p99(before: Counts, after: Counts) -> float:
    """Milliseconds, between two looks at the metric, straight through its buckets as Prometheus does it."""
    seen = {most: after[most] - before.get(most, 0.0) for most in sorted(after)}
    wanted, low, below = 0.99 * seen[math.inf], 0.0, 0.0
    for most, count in seen.items():
        if count >= wanted:
            within = (wanted - below) / (count - below) if count > below else 0.0
            return (low if math.isinf(most) else low + (most - low) * within) * 1e3
        low, below = most, count
    return low * 1e3
