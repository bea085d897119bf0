"""The settings of billing. It alone holds the payment providers' keys."""

import json
from functools import cached_property
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from billing.schedules import Schedules
from keyturn.settings import ServiceSettings

SHORTEST_KEY = 32  # characters


class BillingSettings(ServiceSettings):
    port: int = Field(default=8001, validation_alias="BILLING_PORT", description="The port that billing listens on")
    database_url: str = Field(
        validation_alias="BILLING_DATABASE_URL",
        repr=False,
        examples=["postgresql://billing:change-me@127.0.0.1:5432/billing"],
        description="Billing's own database",
    )
    stripe_secret_key: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="STRIPE_SECRET_KEY",
        description="Stripe's secret API key (sk_test_..., sk_live_...). Empty: nothing is sold through Stripe",
    )
    stripe_api_base: str = Field(
        default="https://api.stripe.com",
        validation_alias="STRIPE_API_BASE",
        description="Where Stripe's API is; the sandbox puts its stand-in here",
    )
    razorpay_key_id: str = Field(
        default="",
        validation_alias="RAZORPAY_KEY_ID",
        description="Razorpay's key id (rzp_test_..., rzp_live_...); customers' browsers see it",
    )
    razorpay_key_secret: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="RAZORPAY_KEY_SECRET",
        description="Razorpay's key secret. Empty: nothing is sold through Razorpay",
    )
    razorpay_api_base: str = Field(
        default="https://api.razorpay.com",
        validation_alias="RAZORPAY_API_BASE",
        description="Where Razorpay's API is; the sandbox puts its stand-in here",
    )
    catalog: Path = Field(
        default=Path("catalog.yaml"), validation_alias="CATALOG", description="The file that says what is sold"
    )
    canary_email: str = Field(
        default="",
        validation_alias="CANARY_EMAIL",
        description="Your own address, for the mails to the sign-up canary. Empty: there is none",
    )
    address_key: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="ADDRESS_KEY",
        description="At least 32 random characters: by digests with it the addresses of forgotten customers are known "
        "again who have had their trial. Empty: whoever is forgotten may try once more",
    )
    schedules: dict[str, str] = Field(
        default={},
        validation_alias="SCHEDULES",
        examples=['{"billing": "30 1 * * *", "reconciliation": "off"}'],
        description="When scheduled runs begin, unless as docs/operators.md says: cron expressions, or off",
    )
    schedule_timezone: str = Field(
        default="UTC", validation_alias="SCHEDULE_TIMEZONE", description="The time zone of these times"
    )

    @field_validator("address_key")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < SHORTEST_KEY:
            raise ValueError(f"must have at least {SHORTEST_KEY} characters")
        return value

    @field_validator("schedules", mode="before")
    @classmethod
    def _written_as_json(cls, value: object) -> object:
        """From the environment it comes decoded; from the sandbox, where services share a process, as written."""
        return json.loads(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _razorpay_whole(self) -> Self:
        if bool(self.razorpay_key_id) != bool(self.razorpay_key_secret.get_secret_value()):
            raise ValueError("RAZORPAY_KEY_ID and RAZORPAY_KEY_SECRET belong together")
        return self

    @model_validator(mode="after")
    def _runs_known(self) -> Self:
        assert self.runs
        return self

    @cached_property
    def runs(self) -> Schedules:
        return Schedules.of(self.schedules, self.schedule_timezone)
