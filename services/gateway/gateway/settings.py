"""The gateway's settings."""

import base64
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from keyturn.settings import SecretList, ServiceSettings, TextList

Network = IPv4Network | IPv6Network

SHORTEST_KEY = 32  # characters: what `openssl rand -base64 32` gives has 44


def _networks(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(ip_network(part.strip(), strict=False) for part in value.split(",") if part.strip())


class GatewaySettings(ServiceSettings):
    port: int = Field(default=8000, validation_alias="PORT", description="The gateway's port, the only public one")
    database_url: str = Field(
        validation_alias="GATEWAY_DATABASE_URL",
        repr=False,
        examples=["postgresql://gateway:change-me@127.0.0.1:5432/gateway"],
        description="The gateway's own database",
    )
    stripe_webhook_secret: SecretList = Field(
        default=(),
        validation_alias="STRIPE_WEBHOOK_SECRET",
        description="Signing secret of Stripe's webhook endpoint (whsec_...); several, separated by commas, while it "
        "is changed. Empty: the endpoint is off",
    )
    razorpay_webhook_secret: SecretList = Field(
        default=(),
        validation_alias="RAZORPAY_WEBHOOK_SECRET",
        description="Secret of Razorpay's webhook (not the key secret); several, separated by commas, while it is "
        "changed: retries of older events bear the old one. Empty: the endpoint is off",
    )
    razorpay_checkout_js: str = Field(
        default="https://checkout.razorpay.com/v1/checkout.js",
        validation_alias="RAZORPAY_CHECKOUT_JS",
        description="The script that opens Razorpay's payment window on our page; in the sandbox, the stand-in's",
    )
    session_key: SecretStr = Field(
        validation_alias="SESSION_KEY",
        description="At least 32 random characters: signs the customers' access tokens and cookies",
    )
    signing_key: SecretStr = Field(
        validation_alias="INTERNAL_SIGNING_KEY",
        description="Base64 of 32 random bytes (Ed25519 seed): signs the gateway's calls to the other services",
    )
    billing_url: str = Field(
        default="http://127.0.0.1:8001", validation_alias="BILLING_URL", description="Where billing answers"
    )
    provisioner_url: str = Field(
        default="http://127.0.0.1:8002", validation_alias="PROVISIONER_URL", description="Where the provisioner answers"
    )
    notifier_url: str = Field(
        default="http://127.0.0.1:8003", validation_alias="NOTIFIER_URL", description="Where the notifier answers"
    )
    allowed_origins: TextList = Field(
        default=(),
        validation_alias="ALLOWED_ORIGINS",
        description="Origins of the shops that use the API from a browser, separated by commas: they pass CORS, and "
        "customers may be sent back to them. PUBLIC_URL's own origin always may",
    )
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = Field(
        default=(),
        validation_alias="TRUSTED_PROXIES",
        description="Addresses or networks of the proxies in front, separated by commas: from them X-Forwarded-For is "
        "believed. Empty: nobody is",
    )
    operator_token_file: Path | None = Field(
        default=None,
        validation_alias="OPERATOR_TOKEN_FILE",
        description="Where the first operator's token is written (mode 0600) when there is no operator yet",
    )

    @field_validator("session_key")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < SHORTEST_KEY:
            raise ValueError(f"must have at least {SHORTEST_KEY} characters")
        return value

    @field_validator("signing_key")
    @classmethod
    def _a_seed(cls, value: SecretStr) -> SecretStr:
        if len(base64.b64decode(value.get_secret_value(), validate=True)) != 32:
            raise ValueError("must be 32 bytes in base64")
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        """`*` is refused: answers carry cookies, and return URLs would lead anywhere."""
        for value in values:
            parts = urlsplit(value)
            if parts.scheme not in {"http", "https"} or not parts.hostname or value != origin(value):
                raise ValueError(f"{value!r} is not an origin such as https://shop.example")
        return values

    @property
    def origins(self) -> frozenset[str]:
        """Whose pages may use the API, and where customers may be sent."""
        return frozenset({origin(self.public_url), *self.allowed_origins})


def origin(url: str) -> str:
    """`https://host[:port]` of a URL, as browsers write it. Raises ValueError where the URL is none."""
    parts = urlsplit(url)
    port = parts.port
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != usual else "")
