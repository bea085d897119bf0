"""Strangers' words reach logs as values: none may look like a record of its own, or steer an operator's terminal."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from keyturn import log

FORGED = "x\n2026-01-01T00:00:00Z [info     ] operator_signed_in             actor=mallory"
NASTY = [
    FORGED, "\r\n\r\n" + FORGED, "\x1b[2J\x1b]0;title\x07", "\x9b31m", "a\x00b", "\u2028" + FORGED, "\u202eevil",
    "\ud800", "\x7f\x08\x08", "\x85" + FORGED, "\x0b\x0c\x1c\x1d\x1e",
]  # fmt: skip
SENDABLE = [nasty for nasty in NASTY if nasty != "\ud800"]  # pytest-xdist fails on records with it


def fail(message: str) -> None:
    raise ValueError(message)


@pytest.fixture(params=["console", "json"])
def written(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    yield from configured(request.param)


def configured(log_format: Literal["console", "json"]) -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    log.configure("billing", log_format, stream=stream)
    yield stream
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(written: io.StringIO) -> list[str]:
    text = written.getvalue()
    assert text.encode()  # as the stream of a process writes it
    assert all(char.isprintable() or char in "\n\x7f" for char in text)
    return text.splitlines()


@pytest.mark.parametrize("nasty", NASTY)
def test_a_record_stays_one_line_whatever_its_values_hold(written: io.StringIO, nasty: str) -> None:
    with log.correlated(subject=nasty):
        log.get_logger().info("seen", type=nasty, headers={nasty: [nasty]}, error=ValueError(nasty))
    assert len(lines(written)) == 1


@pytest.mark.parametrize("nasty", SENDABLE)
def test_a_librarys_record_stays_one_line(written: io.StringIO, nasty: str) -> None:
    logging.getLogger("some.library").warning("bad header %s", nasty)
    assert len(lines(written)) == 1


@pytest.mark.parametrize("nasty", SENDABLE)
def test_no_line_of_a_traceback_looks_like_a_record(written: io.StringIO, nasty: str) -> None:
    try:
        fail(nasty)
    except ValueError as error:
        error.add_note(nasty)
        log.get_logger().exception("failed")
    records = [line for line in lines(written) if not line.startswith("    ")]
    assert len(records) == 1


@given(text=st.text())
def test_json_records_give_back_any_text_in_one_line(text: str) -> None:
    for stream in configured("json"):
        log.get_logger().info("seen", value=text)
        (line,) = stream.getvalue().split("\n")[:-1]
        assert json.loads(line)["value"] == log.masked(text)
