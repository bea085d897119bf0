"""What an operator can do with work, and that nothing of it disturbs what runs."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from keyturn.clock import MovableClock
from keyturn.database import Database
from keyturn.errors import Problem
from keyturn.internal import Caller, Signer, Verifier
from keyturn.maintenance import KEEP, delete_old
from keyturn.operations import Order, Selection, act, causes, list_work, show
from keyturn.operations_api import work_router
from keyturn.work import Work
from support.data_plane import METADATA, expired, one, publish

pytestmark = pytest.mark.servers

ANNA = Caller(actor="anna", role="operator")
INSERT = """
INSERT INTO work (id, kind, key, subject, state, cause, error, created, finished, due, attempts)
VALUES ($1, 'mail', $2, 'p', $3, $4, 'no', $5, CASE WHEN $3 <> 'open' THEN $5::timestamptz END, $5, 10) RETURNING id
"""


@pytest.fixture
async def database(database_url: Any, clock: MovableClock) -> AsyncIterator[Database]:
    made = Database(await database_url(METADATA), service="notifier", clock=clock)
    yield made
    await made.close()


async def died(database: Database, key: str, cause: str = "mail GiveUp at smtp.send", state: str = "dead") -> UUID:
    found: UUID = await one(database, INSERT, uuid4(), key, state, cause, database.clock.now())
    return found


def order(action: Any, chosen: Selection) -> Order:
    return Order(action, chosen, ANNA, "the mail server is back")


async def states(database: Database) -> dict[str, str]:
    async with database.transaction("look") as tx:
        return {row.key: row.state for row in await tx.run("SELECT key, state FROM work")}


async def test_dead_work_is_grouped_by_cause_the_latest_first(database: Database) -> None:
    for number in range(3):
        await died(database, f"a{number}")
    await died(database, "b", "mail KeyError at smtp.build")
    found = await causes(database)
    assert [(row["cause"], row["count"]) for row in found] == [
        ("mail KeyError at smtp.build", 1),
        ("mail GiveUp at smtp.send", 3),
    ]
    assert found[1]["first"] < found[1]["last"]


@pytest.mark.parametrize("cause", [None, "mail GiveUp at smtp.send"])
async def test_pages_follow_one_another_without_gap_or_repetition(database: Database, cause: str | None) -> None:
    keys = [f"k{number}" for number in range(7)]
    for key in keys:
        await died(database, key)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await list_work(database, "dead", kind=None, cause=cause, cursor=cursor, limit=3)
        seen += [row["key"] for row in page.rows]
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == keys[::-1]


@pytest.mark.parametrize(("action", "state"), [("retry", "open"), ("resolve", "resolved"), ("discard", "discarded")])
@pytest.mark.parametrize("how", ["ids", "cause", "all"])
async def test_an_action_takes_one_several_or_all_and_names_who_and_why(
    database: Database, action: Any, state: str, how: Any
) -> None:
    ids = [await died(database, "a"), await died(database, "b")]
    other = await died(database, "c", "mail KeyError at x.y")
    chosen = {
        "ids": Selection("ids", ids),
        "cause": Selection("cause", "mail GiveUp at smtp.send"),
        "all": Selection("all"),
    }[how]
    assert await act(database, order(action, chosen)) == (3 if how == "all" else 2)
    assert await states(database) == {"a": state, "b": state, "c": state if how == "all" else "dead"}
    event = json.loads(await one(database, "SELECT convert_from(body, 'UTF8') FROM outbox"))
    assert event["type"] == "operator.acted.v1"
    assert event["data"]["actor"] == "anna"
    assert event["data"]["action"] == f"work.{action}"
    history = (await show(database, ids[0]))["history"]
    assert history[-1]["reason"] == "the mail server is back"
    assert (await show(database, other))["state"] == (state if how == "all" else "dead")


async def test_a_retry_starts_the_attempts_anew_and_spreads_the_rows(database: Database) -> None:
    for number in range(3):
        await died(database, f"k{number}")
    await act(database, order("retry", Selection("all")))
    assert await one(database, "SELECT max(attempts) FROM work") == 0
    assert await one(database, "SELECT max(due) - min(due) FROM work") == timedelta(milliseconds=10)


async def test_a_retry_makes_no_second_open_row_of_one_key(database: Database) -> None:
    await died(database, "a")
    await died(database, "a")
    await died(database, "b")
    await died(database, "b", state="open")
    assert await act(database, order("retry", Selection("all"))) == 1
    assert await one(database, "SELECT count(*) FROM work WHERE state = 'open'") == 2


async def test_of_several_dead_rows_of_one_key_the_newest_is_tried_again_and_the_older_are_resolved_with_it(
    database: Database,
) -> None:
    oldest, older, newest = [await died(database, "a") for _ in range(3)]
    other = await died(database, "b")
    assert len((await list_work(database, "dead", kind="mail", cause=None, cursor=None, limit=10)).rows) == 4
    assert await act(database, order("retry", Selection("ids", [newest, older]))) == 1
    assert [(await show(database, id_))["state"] for id_ in (oldest, older, newest, other)] == [
        "resolved",
        "resolved",
        "open",
        "dead",
    ]
    assert (await show(database, oldest))["history"][-1]["outcome"] == "resolved_with_newer"
    assert (await show(database, oldest))["history"][-1]["actor"] == "anna"


async def test_an_older_dead_row_that_is_tried_again_leaves_the_newer_one_dead(database: Database) -> None:
    older, newer = [await died(database, "a") for _ in range(2)]
    assert await act(database, order("retry", Selection("ids", [older]))) == 1
    assert [(await show(database, id_))["state"] for id_ in (older, newer)] == ["open", "dead"]


@pytest.mark.parametrize(("action", "state"), [("resolve", "resolved"), ("discard", "discarded")])
async def test_several_dead_rows_of_one_key_are_closed_one_by_one_or_all(
    database: Database, action: Any, state: str
) -> None:
    ids = [await died(database, "a") for _ in range(3)]
    assert await act(database, order(action, Selection("ids", ids[:1]))) == 1
    assert await act(database, order(action, Selection("all"))) == 2
    assert {(await show(database, id_))["state"] for id_ in ids} == {state}


async def test_what_runs_right_now_is_left_alone(database: Database) -> None:
    running = await died(database, "a", state="open")
    await one(database, "UPDATE work SET leased_until = clock_timestamp() + interval '1 min' RETURNING 1")
    assert await act(database, order("discard", Selection("ids", [running]))) == 0


async def test_more_rows_than_a_batch_are_all_changed(database: Database) -> None:
    await one(
        database,
        """INSERT INTO work (id, kind, key, state, cause, created, finished)
        SELECT gen_random_uuid(), 'mail', n::text, 'dead', 'c', $1, $1 FROM generate_series(1, 2500) AS n
        RETURNING 1""",
        database.clock.now(),
    )
    assert await act(database, order("resolve", Selection("cause", "c"))) == 2500


async def test_an_unknown_row_and_a_foreign_cursor_are_problems(database: Database) -> None:
    with pytest.raises(Problem):
        await show(database, uuid4())
    with pytest.raises(Problem):
        await list_work(database, "dead", kind=None, cause=None, cursor="x~y", limit=1)


async def test_the_router_asks_for_a_viewer_to_read_and_an_operator_to_act(database: Database) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from keyturn.http import install_problems

    signer = Signer(Ed25519PrivateKey.generate())
    app = FastAPI()
    app.state.verifier = Verifier(signer.public_key(), "notifier")
    install_problems(app)
    app.include_router(work_router(database))
    id_ = await died(database, "a")
    viewer = {"authorization": f"Bearer {signer.sign('notifier', Caller('v', 'viewer'))}"}
    operator = {"authorization": f"Bearer {signer.sign('notifier', ANNA)}"}
    body = {"ids": [str(id_)], "reason": "mended"}
    async with AsyncClient(transport=ASGITransport(app), base_url="http://notifier") as http:
        listed = (await http.get("/internal/work", headers=viewer)).json()
        assert [item["id"] for item in listed["items"]] == [str(id_)]
        assert (await http.get("/internal/work/causes", headers=viewer)).json()["items"][0]["count"] == 1
        assert (await http.get(f"/internal/work/{id_}", headers=viewer)).json()["state"] == "dead"
        assert (await http.post("/internal/work/retry", json=body, headers=viewer)).status_code == 403
        assert (await http.post("/internal/work/burn", json=body, headers=operator)).status_code == 422
        assert (await http.post("/internal/work/retry", json={"reason": "x"}, headers=operator)).status_code == 422
        assert (await http.post("/internal/work/retry", json=body, headers=operator)).json() == {"count": 1}
    assert await states(database) == {"a": "open"}


async def test_rows_past_the_retention_time_go_and_open_and_dead_ones_stay(
    database: Database, clock: MovableClock
) -> None:
    await publish(database, expired(), expired())
    await one(database, "UPDATE outbox SET published = created WHERE id = (SELECT min(id) FROM outbox) RETURNING 1")
    await one(
        database,
        "INSERT INTO inbox (consumer, event_id, received, handled) VALUES ('n', $1, $2, $2) RETURNING 1",
        uuid4(),
        clock.now(),
    )
    for key in ("open", "dead", "done"):
        await died(database, key, state=key)
    clock.move(KEEP + timedelta(hours=1))
    work = Work(uuid4(), "retention", "every", {}, None, 1, clock.now(), 1, database, clock.now())
    await delete_old(work, None)
    assert await one(database, "SELECT count(*) FROM outbox") == 1
    assert await one(database, "SELECT count(*) FROM inbox") == 0
    assert set(await states(database)) == {"open", "dead"}
