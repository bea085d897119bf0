"""One verified webhook, taken apart as far as both providers are alike."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias, TypeVar

from gateway.webhooks.payload import Part
from keyturn import tracing
from keyturn.events import Provider, ProviderFact, derived_id

F = TypeVar("F", bound=ProviderFact)


class Arrival(NamedTuple):
    """A webhook whose signature was right. `fallback_id` names its content, for a provider that sent no event id."""

    document: Mapping[str, Any]
    headers: Mapping[str, str]
    received: datetime
    fallback_id: str


class Notice(NamedTuple):
    """What the provider tells us: `id` is its event id, `object` what it is about. `type` is "" where it names none."""

    provider: Provider
    id: str
    type: str
    time: datetime
    livemode: bool | None
    api_version: str | None
    object: Part
    others: bool = False  # of an account that is not ours

    def fact(self, make: Callable[..., F], object_id: str, effect: str, /, **fields: Any) -> F:
        """Our event. Its id comes from object and effect alone, so that every notice of one fact gives the same."""
        return make(
            id=derived_id(self.provider, object_id, effect),
            subject=f"{self.provider}:{object_id}",
            time=self.time,
            causationid=self.id,
            traceparent=tracing.traceparent(),
            provider=self.provider,
            livemode=self.livemode,
            **fields,
        )


Reader: TypeAlias = Callable[[Notice], Iterable[ProviderFact]]


@dataclass(frozen=True)
class Source:
    """What intake must know of one provider."""

    provider: Provider
    signature_header: bytes
    kept_headers: Sequence[bytes]  # stored with the body; never a signature
    verify: Callable[[bytes, bytes | None, Sequence[bytes], float], object]  # raises SignatureError
    refuse: Callable[
        [Mapping[str, Any]], tuple[str, str] | None
    ]  # a body that is no event for us: problem code, detail
    notice: Callable[[Arrival], Notice]  # never raises: what cannot be read is stored too
    readers: Mapping[str, Reader]
