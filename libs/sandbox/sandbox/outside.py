"""`python -m sandbox.outside`: the world outside, as a process of its own on fixed ports, for services in containers.

Stand-ins for Stripe and Razorpay, and a mailbox with a page. All settings come from the environment.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from keyturn import log
from keyturn.clock import Clock, MovableClock, SystemClock
from keyturn.settings import WRONG, told
from sandbox.mailbox import Mailbox
from sandbox.razorpay import RazorpaySandbox
from sandbox.signals import forever, run
from sandbox.stripe import StripeSandbox


class OutsideSettings(BaseSettings):
    """Services reach the stand-ins at this host's name and the ports; browsers at the public URLs, which differ where
    a container's ports are published elsewhere."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True)

    host: str = Field(default="127.0.0.1", validation_alias="HOST")
    stripe_port: int = Field(default=8011, validation_alias="SANDBOX_STRIPE_PORT")
    razorpay_port: int = Field(default=8012, validation_alias="SANDBOX_RAZORPAY_PORT")
    mailbox_port: int = Field(default=8025, validation_alias="SANDBOX_MAILBOX_PORT")
    smtp_port: int = Field(default=1025, validation_alias="SANDBOX_SMTP_PORT")
    stripe_url: str = Field(default="", validation_alias="SANDBOX_STRIPE_URL")
    razorpay_url: str = Field(default="", validation_alias="SANDBOX_RAZORPAY_URL")
    gateway_url: str = Field(default="http://127.0.0.1:8000", validation_alias="GATEWAY_URL")  # where webhooks go
    data: Path | None = Field(default=None, validation_alias="SANDBOX_DATA")  # without it a restart forgets everything
    clock_file: Path | None = Field(default=None, validation_alias="CLOCK_FILE")
    stripe_secret_key: SecretStr = Field(validation_alias="STRIPE_SECRET_KEY", min_length=1)
    stripe_webhook_secret: SecretStr = Field(validation_alias="STRIPE_WEBHOOK_SECRET", min_length=1)
    razorpay_key_id: str = Field(validation_alias="RAZORPAY_KEY_ID", min_length=1)
    razorpay_key_secret: SecretStr = Field(validation_alias="RAZORPAY_KEY_SECRET", min_length=1)
    razorpay_webhook_secret: SecretStr = Field(validation_alias="RAZORPAY_WEBHOOK_SECRET", min_length=1)

    def clock(self) -> Clock:
        return MovableClock(self.clock_file) if self.clock_file else SystemClock()

    def state(self, name: str) -> Path | None:
        return self.data / f"{name}.json" if self.data else None


@dataclass(frozen=True)
class Outside:
    stripe: StripeSandbox
    razorpay: RazorpaySandbox
    mailbox: Mailbox


def _browsers(public_url: str, port: int) -> str:
    return public_url.rstrip("/") or f"http://127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def outside(settings: OutsideSettings) -> AsyncIterator[Outside]:
    """Everything answers inside the block. Raises `OSError` where a port is taken."""
    hooks, clock = f"{settings.gateway_url.rstrip('/')}/api/webhooks", settings.clock()
    stripe = StripeSandbox(
        secret_key=settings.stripe_secret_key.get_secret_value(),
        webhook_url=f"{hooks}/stripe",
        webhook_secrets=_several(settings.stripe_webhook_secret),
        clock=clock,
        state_file=settings.state("stripe"),
        port=settings.stripe_port,
        host=settings.host,
        public_url=_browsers(settings.stripe_url, settings.stripe_port),
    )
    razorpay = RazorpaySandbox(
        key_id=settings.razorpay_key_id,
        key_secret=settings.razorpay_key_secret.get_secret_value(),
        webhook_url=f"{hooks}/razorpay",
        webhook_secrets=_several(settings.razorpay_webhook_secret),
        clock=clock,
        state_file=settings.state("razorpay"),
        port=settings.razorpay_port,
        host=settings.host,
        public_url=_browsers(settings.razorpay_url, settings.razorpay_port),
    )
    mailbox = Mailbox(smtp_port=settings.smtp_port, http_port=settings.mailbox_port, host=settings.host)
    async with stripe, razorpay, mailbox:
        yield Outside(stripe, razorpay, mailbox)


def _several(secret: SecretStr) -> list[str]:
    return [part.strip() for part in secret.get_secret_value().split(",") if part.strip()]


async def _run(read: Callable[[], OutsideSettings]) -> int:
    try:
        settings = read()
        log.configure("sandbox", "console", "WARNING")
        async with outside(settings) as running:
            print(f"ready: {running.stripe.public_url} {running.razorpay.public_url}", flush=True)
            await forever()
    except asyncio.CancelledError:
        return 0
    except WRONG as error:
        print(told(error), file=sys.stderr)
        return 2
    except OSError as error:
        print(f"cannot listen on {settings.host}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(run(_run(OutsideSettings)))
