"""Requests of every shape, made from each service's own OpenAPI document: no answer is a failure of ours, and none is
one that the document does not tell of. Whatever gets through the gateway reaches the real services behind it.

More of them: `make abuse EXAMPLES=300` (another SEED: other requests).
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeAlias

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from keyturn.http import MEDIA_TYPE
from keyturn.internal import ROLES
from support.examples import MANY, SEED, examples
from support.house import NAMES, House

pytestmark = [pytest.mark.servers, pytest.mark.timeout(0 if MANY else 120)]
Case: TypeAlias = "schemathesis.Case[Any]"
EXAMPLES = examples(1)  # of each operation, well-formed and again malformed
ENDLESS = "/api/journeys/{purchase_id}/events"  # tried in test_gateway_live
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def cases(service: str, document: dict[str, Any]) -> Iterator[Case]:
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=f"http://{service}")
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]
        if operation.path == ENDLESS:
            continue
        for mode in GenerationMode:
            yield from some(operation, mode)


def some(operation: Any, mode: GenerationMode) -> list[Case]:
    made: list[Case] = []

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def collect(case: Case) -> None:
        made.append(case)

    with contextlib.suppress(Unsatisfiable):  # without a parameter there is no malformed request
        collect()
    return made


@pytest.mark.parametrize("service", NAMES)
async def test_no_request_makes_a_service_fail_or_answer_what_its_document_does_not_say(
    home: House, service: str
) -> None:
    answers: Counter[int] = Counter()
    wrong: list[str] = []
    for number, case in enumerate(cases(service, home.services[service].app.openapi())):
        role = ROLES[-1 - number % len(ROLES)]
        headers = home.proof(service, case.path, role) | {
            "x-forwarded-for": f"198.51.{number // 250 % 250}.{number % 250}"
        }
        answer = await send(home.client, case, headers)
        wrong += objections(case, answer)
        answers[answer.status_code // 100] += 1
    assert not wrong, "\n\n".join(wrong)
    assert answers[2]
    assert answers[4]


def objections(case: Case, answer: httpx.Response) -> list[str]:
    try:
        case.validate_response(answer, checks=CHECKS)
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == MEDIA_TYPE
            assert answer.json()["code"]
    except (FailureGroup, AssertionError, LookupError, ValueError) as error:
        return [f"{answer.request.method} {answer.request.url} {answer.status_code}\n{error}"]
    return []


async def send(client: httpx.AsyncClient, case: Case, headers: dict[str, str]) -> httpx.Response:
    given = case.as_transport_kwargs(headers=headers)
    sent = {name: given[name] for name in ("method", "url", "headers", "params", "json") if given.get(name) is not None}
    if given.get("data") is not None:
        sent["content"] = given["data"]
    return await client.request(**sent)
