"""Settings: one small class a service, read from the environment and `.env`, each variable described once.

`python -m keyturn.settings gateway.settings billing.settings ...` writes `.env.example` from those descriptions.
"""

import importlib
import os
import socket
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from keyturn.clock import Clock, MovableClock, SystemClock
from keyturn.errors import Misconfigured, SealError

PLACEHOLDER = "change-me"
WRONG = (ValidationError, Misconfigured, SealError)  # what a start raises for what an operator wrote
WIDTH = 110


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


TextList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]  # comma separated in the environment
SecretList = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)]


class ServiceSettings(BaseSettings):
    """What every service reads. A subclass adds its own, each with a `validation_alias` and a `description`."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    host: str = Field(
        default="127.0.0.1",
        validation_alias="HOST",
        description="The address that services listen on. In a container: 0.0.0.0",
    )
    public_url: str = Field(
        default="http://127.0.0.1:8000",
        validation_alias="PUBLIC_URL",
        description="Where customers reach the gateway; links in mails begin with it",
    )
    bus_url: str = Field(
        default="memory://",
        validation_alias="BUS_URL",
        repr=False,
        examples=["amqp://gateway:change-me@127.0.0.1:5672/keyturn"],
        description="The broker: amqp:// or amqps://, with the service's own user. memory:// joins services "
        "inside one process only",
    )
    internal_key: str = Field(
        default="",
        validation_alias="INTERNAL_PUBLIC_KEY",
        description="Base64 Ed25519 public key of the gateway; several, separated by commas, while it is changed. "
        "Without it every internal call is refused",
    )
    log_format: Literal["console", "json"] = Field(
        default="console", validation_alias="LOG_FORMAT", description="console (for people) or json (for machines)"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", validation_alias="LOG_LEVEL", description="DEBUG, INFO, WARNING or ERROR"
    )
    sandbox: bool = Field(
        default=False,
        validation_alias="SANDBOX",
        description="true: stand-ins for the outside world, placeholder secrets accepted. Never in production",
    )
    clock_file: Path | None = Field(
        default=None,
        validation_alias="CLOCK_FILE",
        description="Sandbox only: the file with which all services share a moved clock",
    )

    @model_validator(mode="after")
    def _refuse_placeholders(self) -> Self:
        """A secret copied from an example protects nothing."""
        if not self.sandbox:
            kept = [variable(name, field) for name, field in fields(type(self)) if self._is_placeholder(name)]
            if kept:
                raise ValueError(f"still a placeholder, or SANDBOX=true is missing: {', '.join(kept)}")
        return self

    def _is_placeholder(self, name: str) -> bool:
        return any(PLACEHOLDER in text.lower() for text in _texts(getattr(self, name)))

    @property
    def replica(self) -> str:
        """Tells the copies of a service apart, for people who look at the broker."""
        return f"{socket.gethostname()}-{os.getpid()}"

    def make_clock(self) -> Clock:
        """The real clock; in the sandbox one that can be moved for all services at once."""
        return MovableClock(self.clock_file) if self.sandbox and self.clock_file else SystemClock()

    def secrets(self) -> Iterator[str]:
        """Every secret value in these settings, passwords inside URLs too: what logs must never show."""
        for name, _ in fields(type(self)):
            value = getattr(self, name)
            if isinstance(value, str):
                yield from filter(None, [_password(value)])
            elif isinstance(value, SecretStr) or (isinstance(value, tuple) and value):
                yield from (part for text in _secret_texts(value) for part in _parts(text))


def told(error: Exception) -> str:
    """What is wrong with the settings or a file they name, a line each; never a value, which may be a secret."""
    if not isinstance(error, ValidationError):
        return str(error)
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return "\n".join(f"setting {'.'.join(map(str, one['loc'])) or '(all)'}: {one['msg']}" for one in found)


def fields(settings: type[BaseSettings]) -> Iterator[tuple[str, FieldInfo]]:
    """The fields of a settings class, base classes' first."""
    yield from settings.model_fields.items()


def variable(name: str, field: FieldInfo) -> str:
    """The environment variable that fills a field."""
    return field.validation_alias if isinstance(field.validation_alias, str) else name.upper()


def example(modules: Sequence[str]) -> str:
    """The text of `.env.example`: what all services read, then what each one adds."""
    seen: set[str] = set()
    parts = [
        "# Every setting of Keyturn. Copy to .env and change; generated from the code by `make docs`.",
        _section("every service", ServiceSettings, seen),
    ]
    for module in modules:
        name = module.split(".", maxsplit=1)[0]
        parts += [_section(name, found, seen) for found in _settings_classes(module)]
    return "\n\n".join(parts) + "\n"


def _settings_classes(module: str) -> Iterator[type[BaseSettings]]:
    for found in vars(importlib.import_module(module)).values():
        if isinstance(found, type) and issubclass(found, BaseSettings) and found.__module__ == module:
            yield found


def _section(title: str, settings: type[BaseSettings], seen: set[str]) -> str:
    lines = [f"# --- {title} ".ljust(WIDTH, "-")]
    for name, field in fields(settings):
        if (env := variable(name, field)) not in seen:
            seen.add(env)
            lines += ["", *textwrap.wrap(field.description or "", WIDTH, initial_indent="# ", subsequent_indent="# ")]
            lines.append(f"{env}={_sample(field)}")
    return "\n".join(lines)


def _sample(field: FieldInfo) -> str:
    if field.examples:
        return str(field.examples[0])
    if field.is_required():
        return PLACEHOLDER
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return ",".join(_texts(default)) or ("" if isinstance(default, str | tuple | SecretStr) else str(default))


def _texts(value: Any) -> list[str]:
    if isinstance(value, tuple | list):
        return [text for part in value for text in _texts(part)]
    if isinstance(value, SecretStr):
        return [value.get_secret_value()] if value.get_secret_value() else []
    return [value] if isinstance(value, str) and value else []


def _secret_texts(value: Any) -> list[str]:
    parts = value if isinstance(value, tuple) else (value,)
    return _texts(tuple(part for part in parts if isinstance(part, SecretStr)))


def _parts(text: str) -> Iterator[str]:
    """A ring of keys is one setting and several secrets."""
    yield text
    yield from (line.partition(":")[2] for line in text.replace(",", "\n").split() if ":" in line and "//" not in line)


def _password(url: str) -> str | None:
    try:
        return urlsplit(url).password if "://" in url else None
    except ValueError:
        return None


if __name__ == "__main__":
    Path(".env.example").write_text(example(sys.argv[1:]))
