"""The examples in docs/adding.md are accepted by what they are written for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from keyturn.bus.topology import binding_keys
from keyturn.events import BY_WIRE, Event, InstallReady
from keyturn.settings import fields, variable
from keyturn.work import WorkKind
from provisioner.resources.port import Given, NeedsOperator
from support import pages

PAGE = "adding.md"
INSTALL = UUID("01a1fd9d-98b0-713d-9d46-377219884bb3")


def _run(mark: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": f"docs.{mark}"}
    exec(compile(pages.marked(PAGE, mark).text, f"docs/{PAGE}", "exec"), namespace)
    return namespace


def test_the_example_event_travels_like_any_other() -> None:
    moved: type[Event] = _run("event")["InstallMoved"]
    assert (moved.wire, moved.publisher) == ("install.moved.v1", "provisioner")
    assert moved.wire not in BY_WIRE
    assert InstallReady.publisher == moved.publisher  # it stands in the same file


def test_the_example_handler_binds_its_event() -> None:
    assert binding_keys(_run("handler")["HANDLERS"]) == ["install.ready.v1"]


def test_the_example_work_has_a_policy_of_its_own() -> None:
    (kind,) = _run("work")["WORK"].values()
    assert isinstance(kind, WorkKind)
    assert kind.retry.attempts == 20


def test_the_example_setting_stands_under_its_name_and_shows_no_value() -> None:
    made = _run("setting")["WelcomeSettings"]
    assert "WELCOME_TOKEN" in [variable(name, field) for name, field in fields(made)]
    settings = made(_env_file=None, welcome_token="a-token-of-somebody", bus_url="memory://")
    assert "a-token-of-somebody" in list(settings.secrets())
    assert "a-token-of-somebody" not in repr(settings)


@pytest.fixture
def note(tmp_path: Path) -> Callable[..., Any]:
    """Makes the example's resource anew: what it is after a restart."""
    example = _run("resource")
    given = Given(INSTALL, "hello", example["NoteParameters"](text="Hello"))
    return lambda folder=tmp_path: example["NoteFile"](given, folder)


async def test_the_example_resource_can_be_made_twice_and_removed_twice(note: Callable[..., Any]) -> None:
    for _ in range(2):
        assert set(await note().ensure(None)) == {"path"}
    assert (await note().probe(None)).ok
    assert [await note().destroy(None) for _ in range(2)] == ["deleted", "not_found"]
    assert not (await note().probe(None)).ok


async def test_the_example_resource_says_what_an_operator_has_to_do(note: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(NeedsOperator):
        await note(tmp_path / "nowhere").ensure(None)
