import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from keyturn import log


def fail(error: Exception) -> None:
    raise error


class Records:
    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def last(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text.splitlines()[-1])
        return found


@pytest.fixture
def records() -> Iterator[Records]:
    """Logging as a service configures it, given back afterwards as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    found = Records()
    log.configure("billing", "json", "DEBUG", stream=found.stream)
    yield found
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_record_is_one_json_line_with_service_and_correlation(records: Records) -> None:
    with log.correlated(event_id="e1", wire="purchase.paid.v1", attempt=2, trace_id=None):
        log.get_logger().info("handled", took=0.5)
    found = records.last
    assert found["service"] == "billing"
    assert (found["event"], found["event_id"], found["attempt"], found["took"]) == ("handled", "e1", 2, 0.5)
    assert "trace_id" not in found
    assert found["timestamp"].endswith("Z")


def test_a_librarys_record_goes_through_the_same_formatter(records: Records) -> None:
    logging.getLogger("some.library").warning("connecting to %s", "amqp://guest:pa55word@host/v")
    assert records.last["event"] == "connecting to amqp://guest:***@host/v"
    assert records.last["service"] == "billing"


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "SMTP_PASSWORD",
        "token",
        "access_token",
        "client_secret",
        "authorization",
        "Set-Cookie",
        "api_key",
        "database_url",
        "mail_keys",
        "credentials",
        "bus_url",
    ],
)
def test_rule_17_a_value_under_a_secret_name_is_masked(records: Records, key: str) -> None:
    log.get_logger().info("x", **{key: "hunter2-value"}, nested={"deep": [{key: "hunter2-value"}]})
    assert "hunter2-value" not in records.text


def test_names_that_only_resemble_secrets_stay(records: Records) -> None:
    log.get_logger().info("x", key="mail", payment_key="pay_1", tokens_left=3, token_id="t1")
    assert records.last["payment_key"] == "pay_1"
    assert records.last["token_id"] == "t1"


def test_rule_17_a_registered_value_is_masked_wherever_it_appears(records: Records) -> None:
    log.register_secrets(["s3cr3t/v@lue"])
    try:
        fail(RuntimeError("cannot reach http://h/?q=s3cr3t%2Fv%40lue with s3cr3t/v@lue"))
    except RuntimeError as error:
        log.get_logger().exception("failed s3cr3t/v@lue", error=error)
        logging.getLogger("lib").exception("failed")
    assert "s3cr3t" not in records.text
    assert "RuntimeError" in records.last["exception"]


def test_rule_17_values_of_running_work_are_masked_inside_it(records: Records) -> None:
    with log.hidden("one-time-token"):
        log.get_logger().info("opened", at="one-time-token")
    assert "one-time-token" not in records.text


@pytest.mark.parametrize(
    "text",
    [
        "GET /setup/AbCdEfGhIjKlMnOpQrStUv",
        "Authorization: Bearer abcdefghijkl",
        "key sk_live_abcdefgh12345678",
        "whsec_abcdefgh12345678",
    ],
)
def test_rule_17_what_looks_like_a_secret_is_masked(text: str) -> None:
    assert "***" in log.masked(text)


def test_objects_are_masked_as_text(records: Records) -> None:
    class Holder:
        def __repr__(self) -> str:
            return "Holder(postgresql://u:pa55word@h/d)"

    log.get_logger().info("x", holder=Holder(), error=ValueError("amqp://u:pa55word@h"))
    assert "pa55word" not in records.text


def test_the_brokers_client_never_logs_below_info(records: Records) -> None:
    logging.getLogger("aiormq.connection").debug("frame")
    logging.getLogger("aio_pika").debug("frame")
    assert not records.text


def test_the_console_format_masks_as_well() -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    log.configure(None, "console", stream=stream)
    try:
        log.get_logger().info("x", password="hunter2-value")
        try:
            fail(ValueError("amqp://u:pa55word@h"))
        except ValueError:
            log.get_logger().exception("y")
    finally:
        structlog.reset_defaults()
        logging.captureWarnings(capture=False)
        root.handlers[:] = handlers
        root.setLevel(level)
    assert "hunter2" not in stream.getvalue()
    assert "pa55word" not in stream.getvalue()
