"""The way to an ACME server: certbot's, which remembers how the last answer ended, since its errors don't say."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import requests
from acme import client
from josepy.jwa import ES256
from josepy.jwk import JWK

TIMEOUT = 15


class Network(client.ClientNetwork):
    """Remembers how the last answer ended: the library's errors don't say."""

    def __init__(self, key: JWK | None, ca_file: Path | None) -> None:
        super().__init__(key, alg=ES256, user_agent="Keyturn/0.1", timeout=TIMEOUT)
        self.verify_ssl = str(ca_file) if ca_file else True  # type: ignore[assignment] # `requests` takes both
        self.status = 0  # of the last answer; 0 where none came
        self.retry_after: timedelta | None = None

    def _send_request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:
        self.status, self.retry_after = 0, None
        answer = super()._send_request(method, url, *args, **kwargs)
        self.status, self.retry_after = answer.status_code, retry_after(answer.headers.get("Retry-After", ""))
        return answer


def retry_after(text: str) -> timedelta | None:
    if text.isdigit():
        return timedelta(seconds=int(text))
    try:
        return max(parsedate_to_datetime(text) - datetime.now(UTC), timedelta()) if text else None
    except (ValueError, TypeError):
        return None
