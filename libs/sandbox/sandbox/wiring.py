"""What each service is told: the settings that somebody chose, and the sandbox's own for the rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from keyturn.internal import Signer
from sandbox.mailbox import Mailbox
from sandbox.postgres import SERVICES
from sandbox.razorpay import RazorpaySandbox
from sandbox.stripe import StripeSandbox

ROOT = Path(__file__).parents[3]
STRIPE = ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_API_BASE")
RAZORPAY = (
    "RAZORPAY_KEY_ID", "RAZORPAY_KEY_SECRET", "RAZORPAY_WEBHOOK_SECRET", "RAZORPAY_API_BASE", "RAZORPAY_CHECKOUT_JS",
)  # fmt: skip


def given(environment: Mapping[str, str], dotenv: Path) -> dict[str, str]:
    """The settings that somebody chose: `.env`, and over it the environment. What is empty, or still reads as in
    `.env.example`, nobody chose."""
    example = dotenv_values(ROOT / ".env.example")
    written = {name: value for name, value in dotenv_values(dotenv).items() if value != example.get(name)}
    return {name: value for name, value in {**written, **environment}.items() if value}


def files(chosen: Mapping[str, str]) -> tuple[Path, Path]:
    """The catalogue, and the folder with the blueprints."""
    return Path(chosen.get("CATALOG", ROOT / "catalog.yaml")), Path(chosen.get("BLUEPRINTS", ROOT / "blueprints"))


def real_stripe(chosen: Mapping[str, str]) -> bool:
    """Whether it is Stripe itself: somebody gave a key of theirs."""
    return "STRIPE_SECRET_KEY" in chosen


def real_razorpay(chosen: Mapping[str, str]) -> bool:
    return "RAZORPAY_KEY_ID" in chosen or "RAZORPAY_KEY_SECRET" in chosen


@dataclass
class Wiring:
    """Everything that `environment` is put together from. None stands for what is real, and not ours."""

    folder: Path
    given: Mapping[str, str]
    secrets: Mapping[str, str]
    ports: Mapping[str, int]
    databases: Mapping[str, str]
    buses: Mapping[str, str]
    stripe: StripeSandbox | None
    razorpay: RazorpaySandbox | None
    mailbox: Mailbox | None

    def environment(self, service: str) -> dict[str, str]:
        """What a service is told: the shared settings, and no secret but its own."""
        port = "PORT" if service == "gateway" else f"{service.upper()}_PORT"
        own: dict[str, Any] = {
            "gateway": self._gateway,
            "billing": self._billing,
            "provisioner": self._provisioner,
            "notifier": self._notifier,
        }
        return {
            "SANDBOX": "true",
            "BUS_URL": self.buses[service],
            "PUBLIC_URL": self.given.get("PUBLIC_URL", f"http://127.0.0.1:{self.ports['gateway']}"),
            "CLOCK_FILE": str(self.folder / "clock"),
            "LOG_FORMAT": self.given.get("LOG_FORMAT", "console"),
            "LOG_LEVEL": self.given.get("LOG_LEVEL", "WARNING"),
            f"{service.upper()}_DATABASE_URL": self.databases[service],
            port: str(self.ports[service]),
            **own[service](),
        }

    def _pick(self, *names: str) -> dict[str, str]:
        """What somebody chose, and what we made where they chose nothing."""
        all_of_them = {**self.secrets, **self.given}
        return {name: all_of_them[name] for name in names if name in all_of_them}

    def _chosen(self, *names: str) -> dict[str, str]:
        return {name: self.given[name] for name in names if name in self.given}

    def _gateway(self) -> dict[str, str]:
        urls = {f"{name.upper()}_URL": f"http://127.0.0.1:{self.ports[name]}" for name in SERVICES if name != "gateway"}
        stripe = self._pick("STRIPE_WEBHOOK_SECRET") if self.stripe else self._chosen("STRIPE_WEBHOOK_SECRET")
        if self.razorpay:
            razorpay = {"RAZORPAY_CHECKOUT_JS": self.razorpay.script} | self._pick("RAZORPAY_WEBHOOK_SECRET")
        else:
            razorpay = self._chosen("RAZORPAY_CHECKOUT_JS", "RAZORPAY_WEBHOOK_SECRET")
        chosen = self._chosen("ALLOWED_ORIGINS", "TRUSTED_PROXIES", "HOST")
        token = {"OPERATOR_TOKEN_FILE": str(self.folder / "operator-token")}
        return urls | stripe | razorpay | chosen | token | self._pick("SESSION_KEY", "INTERNAL_SIGNING_KEY")

    def _internal_key(self) -> dict[str, str]:
        seed = self._pick("INTERNAL_SIGNING_KEY")["INTERNAL_SIGNING_KEY"]
        return {"INTERNAL_PUBLIC_KEY": Signer.from_seed(seed).public_key()}

    def _billing(self) -> dict[str, str]:
        if self.stripe:
            stripe = {"STRIPE_API_BASE": self.stripe.url, "STRIPE_SECRET_KEY": self.stripe.secret_key}
        else:
            stripe = self._chosen("STRIPE_API_BASE", "STRIPE_SECRET_KEY")
        if self.razorpay:
            keys = {"RAZORPAY_KEY_ID": self.razorpay.key_id, "RAZORPAY_KEY_SECRET": self.razorpay.key_secret}
            razorpay = {"RAZORPAY_API_BASE": self.razorpay.url} | keys
        else:
            razorpay = self._chosen("RAZORPAY_API_BASE", "RAZORPAY_KEY_ID", "RAZORPAY_KEY_SECRET")
        catalog = {"CATALOG": str(files(self.given)[0])}
        runs = self._chosen("CANARY_EMAIL", "SCHEDULES", "SCHEDULE_TIMEZONE")
        return self._internal_key() | self._pick("ADDRESS_KEY") | catalog | stripe | razorpay | runs

    def _provisioner(self) -> dict[str, str]:
        more = {
            "BLUEPRINTS": str(files(self.given)[1]),
            "LOCAL_DATA": str(self.folder / "installs"),
            "TLS_DATA": str(self.folder / "tls"),
            "ACME_CHALLENGES": str(self.folder / "acme"),
            "BASE_DOMAIN": self.given.get("BASE_DOMAIN", "sandbox.localhost"),
        }
        targets = [name for name in self.given if name.startswith(("POWERDNS_", "DNS_", "ACME_"))]
        chosen = self._chosen("LOCAL_PORTS", "INSTALLS_AT_ONCE", *targets)
        return self._internal_key() | self._pick("PROVISIONER_SEALING_KEYS", "MAIL_KEYS") | more | chosen

    def _notifier(self) -> dict[str, str]:
        mail = {name: value for name, value in self.given.items() if name.startswith("SMTP_")}
        if self.mailbox:
            mail = {
                "SMTP_HOST": "127.0.0.1",
                "SMTP_PORT": str(self.mailbox.smtp_port),
                "SMTP_TLS": "none",
                "SMTP_FROM": "Keyturn sandbox <shop@sandbox.example>",
            } | self._chosen("SMTP_TIMEOUT")
        operator = {"OPERATOR_EMAIL": self.given.get("OPERATOR_EMAIL", "operator@sandbox.example")}
        return self._internal_key() | self._pick("MAIL_KEYS") | mail | operator
