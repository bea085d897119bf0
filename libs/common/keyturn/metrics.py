"""The library's collectors. Every one has the label `service`: the sandbox runs four services in one process."""

from prometheus_client import Counter, Gauge, Histogram

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

BUS_CONNECTED = Gauge("keyturn_bus_connected", "1 while the bus answers and hands over events", ["service"])
COMMITS = Counter("keyturn_commits", "Transactions committed", ["service", "transaction"])
OUTBOX_PENDING = Gauge("keyturn_outbox_pending", "Outbox rows not published yet, up to 10,000", ["service"])
OUTBOX_OLDEST = Gauge("keyturn_outbox_oldest_seconds", "Age of the oldest due outbox row", ["service"])
OUTBOX_REFUSED = Counter("keyturn_outbox_refused", "Outbox rows that the bus refused", ["service", "reason"])
CONFIRM = Histogram(
    "keyturn_confirm_seconds", "From publish to confirm, of what goes out together", ["service"], buckets=_FAST
)
LEADER = Gauge("keyturn_relay_leader", "1 where this process publishes the outbox", ["service"])
HANDLED = Histogram(
    "keyturn_handled_seconds", "Duration of event handlers", ["service", "wire", "outcome"], buckets=_FAST
)
WORK_OPEN = Gauge("keyturn_work_open", "Open work, up to 10,000", ["service"])
WORK_DEAD = Gauge("keyturn_work_dead", "Dead work, up to 10,000", ["service"])
WORK_OLDEST = Gauge("keyturn_work_oldest_due_seconds", "How long the oldest due work has been waiting", ["service"])
WORK_DONE = Histogram("keyturn_work_seconds", "Duration of work", ["service", "kind", "outcome"], buckets=_FAST)
