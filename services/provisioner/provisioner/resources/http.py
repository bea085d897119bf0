"""`http.check` and `http.call`: ask an install over HTTP whether it is well, and tell it what it must know.

Addresses that the blueprint's own resources gave may be anywhere. Where a customer's own words stand in the address,
private and loopback ranges are refused, and the connection goes to the very address that was checked.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import isfinite
from time import monotonic
from typing import Annotated, Any, ClassVar, Literal

import httpx
from pydantic import Field, SecretStr

from provisioner.resources.port import (
    Applying,
    Given,
    Gone,
    Health,
    Notes,
    NotReady,
    Outputs,
    Pace,
    Parameters,
    Permanent,
    Refused,
    Resource,
    SetupCall,
    Transient,
    UnknownResult,
)
from provisioner.resources.public import PrivateAddress, pinned

BODY_LIMIT = 64 * 1024
ANSWER_LIMIT = 256 * 1024
Status = Annotated[int, Field(ge=100, le=599)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Expect(Parameters):
    """What a right answer looks like. `json`: members that it must have with these values."""

    status: list[Status] = Field(default=[200, 201, 202, 204], min_length=1)
    json_members: dict[str, str | int | bool] = Field(default_factory=dict, alias="json")
    contains: str | None = None

    def missed(self, answer: "Answer") -> str | None:
        """Why this is not the answer; None where it is."""
        if answer.status not in self.status:
            return f"answered {answer.status}"
        if self.contains is not None and self.contains.encode() not in answer.body:
            return "the answer lacks what it should contain"
        wrong = [name for name, value in self.json_members.items() if answer.member(name) != value]
        return f"the answer's {wrong[0]} is not what it should be" if wrong else None


class CheckParameters(Parameters):
    """`within`: seconds to ask again at short intervals before the step waits."""

    url: str = Field(min_length=1, max_length=2000)
    headers: dict[HeaderName, SecretStr] = Field(default_factory=dict)
    expect: Expect = Expect()
    timeout: float = Field(default=5, gt=0, le=30)
    within: float = Field(default=5, ge=0, le=20)


class CallParameters(Parameters):
    """`refused`: statuses by which the install says no, and the member of its answer that says why. `repeatable`: may
    be sent again when no answer came; False for what would then be done twice."""

    method: Method = "POST"
    url: str = Field(min_length=1, max_length=2000)
    headers: dict[HeaderName, SecretStr] = Field(default_factory=dict)
    json_body: Any = Field(default=None, alias="json", repr=False)
    expect: Expect = Expect()
    refused: dict[Status, str] = Field(default_factory=dict)
    capture: dict[str, str] = Field(default_factory=dict)
    secret: list[str] = Field(default_factory=list)
    repeatable: bool = True
    timeout: float = Field(default=10, gt=0, le=60)


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    def member(self, path: str) -> Any:
        """A member of a JSON answer, `a.b.0.c`; None where there is none."""
        try:
            found: Any = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        for part in path.split("."):
            if isinstance(found, dict):
                found = found.get(part)
            elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
                found = found[int(part)]
            else:
                return None
        return found


class HttpCheck(Resource[CheckParameters]):
    Parameters = CheckParameters
    pace: ClassVar[Pace] = Pace(together=32, failures=1000)
    patience = timedelta(minutes=20)

    def __init__(self, given: Given[CheckParameters], tools: httpx.AsyncClient) -> None:
        super().__init__(given, tools)
        self._client = tools

    async def ensure(self, notes: Notes) -> Outputs:  # noqa: ARG002 - nothing to remember
        deadline = monotonic() + self.parameters.within
        pause = 0.05
        while (missed := await self._missed()) is not None:
            if monotonic() > deadline:
                raise NotReady(missed, after=timedelta(seconds=5))
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.5)
        return {}

    async def probe(self, notes: Notes) -> Health:  # noqa: ARG002
        missed = await self._missed()
        return Health(ok=missed is None, detail=missed or "")

    async def resume(self, notes: Notes) -> None:
        await self.ensure(notes)  # what it asks has just been started

    async def destroy(self, notes: Notes) -> Gone:  # noqa: ARG002 - a question leaves nothing behind
        return "not_found"

    async def _missed(self) -> str | None:
        parameters = self.parameters
        private = "url" not in self.given.customer_named
        try:
            answer = await ask(
                self._client,
                "GET",
                parameters.url,
                headers=parameters.headers,
                timeout=parameters.timeout,
                private=private,
            )
        except httpx.HTTPError as error:
            return f"no answer: {type(error).__name__}"
        return parameters.expect.missed(answer)


class HttpCall(Resource[CallParameters]):
    """Made once; its answer's captured members are its outputs."""

    Parameters = CallParameters
    pace: ClassVar[Pace] = Pace(together=32)

    def __init__(self, given: Given[CallParameters], tools: httpx.AsyncClient) -> None:
        super().__init__(given, tools)
        self._client = tools

    @classmethod
    def promises(cls, parameters: Mapping[str, Any]) -> frozenset[str]:
        captured = parameters.get("capture")
        return frozenset(captured) if isinstance(captured, dict) else frozenset()

    async def ensure(self, notes: Notes) -> Outputs:
        if notes.get("done"):
            return _outputs(notes.get("captured", {}), self.parameters.secret)
        if notes.get("asked") and not self.parameters.repeatable:
            raise UnknownResult("the call was sent and no answer is recorded; it must not be sent twice")
        await notes.save(asked=True)
        answer = await call(self._client, self.parameters, self.given)
        captured = {name: answer.member(path) for name, path in self.parameters.capture.items()}
        if lacking := [name for name, value in captured.items() if not isinstance(value, str | int | float | bool)]:
            raise Permanent(f"the answer has no {lacking[0]}")
        if unfit := [name for name, value in captured.items() if not _can_be_kept(value)]:
            raise Permanent(f"the answer's {unfit[0]} is what no database keeps")
        outputs = _outputs(captured, self.parameters.secret)
        await notes.save(done=True, captured=dict(outputs))
        return outputs

    async def probe(self, notes: Notes) -> Health:
        return Health(ok=bool(notes.get("done")), detail="" if notes.get("done") else "not made yet")

    async def destroy(self, notes: Notes) -> Gone:  # noqa: ARG002 - what it did goes with the install
        return "not_found"


class HttpSetup(SetupCall[CallParameters]):
    Parameters = CallParameters

    def __init__(self, given: Given[CallParameters], tools: httpx.AsyncClient) -> None:
        super().__init__(given, tools)
        self._client = tools

    async def run(self) -> Applying | None:
        await call(self._client, self.parameters, self.given)
        return None


async def call(client: httpx.AsyncClient, asked: CallParameters, given: Given[Any]) -> Answer:
    """Raises what the answer, or its absence, means."""
    try:
        answer = await ask(
            client,
            asked.method,
            asked.url,
            headers=asked.headers,
            timeout=asked.timeout,
            private="url" not in given.customer_named,
            body=asked.json_body,
        )
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise Transient(f"cannot be reached: {type(error).__name__}") from None
    except httpx.HTTPError as error:
        if asked.repeatable:
            raise Transient(f"no answer: {type(error).__name__}") from None
        raise UnknownResult(f"no answer: {type(error).__name__}") from None
    if answer.status in asked.refused:
        said = answer.member(asked.refused[answer.status])
        raise Refused(_plain(said) if isinstance(said, str) else "It was not accepted.")
    missed = asked.expect.missed(answer)
    if missed and (answer.status >= 500 or answer.status in {408, 425, 429}):
        raise Transient(missed)
    if missed:
        raise Permanent(missed)
    return answer


async def ask(
    client: httpx.AsyncClient,
    method: Method,
    url: str,
    *,
    headers: Mapping[str, SecretStr],
    timeout: float,  # noqa: ASYNC109 - the client's own time-out, not ours
    private: bool,
    body: Any = None,
) -> Answer:
    """One request, without redirects. Reads no more of the answer than the limit."""
    sent = {"accept-encoding": "identity"} | {name: value.get_secret_value() for name, value in headers.items()}
    content = b"" if body is None else json.dumps(body).encode()
    if len(content) > BODY_LIMIT:
        raise Permanent(f"the body is larger than {BODY_LIMIT} bytes")
    if content:
        sent["content-type"] = "application/json"
    try:
        request = client.build_request(method, url, headers=sent, content=content, timeout=timeout)
        if request.url.scheme not in {"http", "https"} or not request.url.host:
            raise Permanent("the address is no http or https address")
        request = request if private else await pinned(client, request)
        async with asyncio.timeout(timeout):
            response = await client.send(request, stream=True)
            try:
                return Answer(response.status_code, await _read(response))
            finally:
                await response.aclose()
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise Permanent("the address or a header cannot be used") from None
    except TimeoutError:
        raise httpx.ReadTimeout("no answer in time") from None
    except PrivateAddress:
        raise Permanent("the address is not a public one") from None


async def _read(response: httpx.Response) -> bytes:
    """Nothing compressed: a chunk is unpacked whole, a thousand times its size, before its length can be looked at."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx.DecodingError("the answer is compressed")
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > ANSWER_LIMIT:
            raise httpx.ReadError("the answer is too large")
    return bytes(body)


def _plain(said: str) -> str:
    """What an install says, without what is no text."""
    return " ".join("".join(char if char.isprintable() else " " for char in said[:300]).split())


def _can_be_kept(value: str | float) -> bool:
    """Not so: a NUL, half of a character, a number that is none. JSON can say all of them."""
    if isinstance(value, float):
        return isfinite(value)
    return not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in str(value))


def _outputs(captured: Mapping[str, Any], secret: Sequence[str]) -> dict[str, Any]:
    return {
        name: SecretStr(str(value)) if name in secret and not isinstance(value, SecretStr) else value
        for name, value in captured.items()
    }
