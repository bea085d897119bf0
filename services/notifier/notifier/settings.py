"""What the notifier reads from the environment."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from keyturn.settings import ServiceSettings


class NotifierSettings(ServiceSettings):
    database_url: str = Field(
        validation_alias="NOTIFIER_DATABASE_URL",
        repr=False,
        examples=["postgresql://notifier:change-me@127.0.0.1:5432/notifier"],
        description="The notifier's own database",
    )
    port: int = Field(default=8003, validation_alias="NOTIFIER_PORT", description="Where the notifier listens")
    mail_keys: SecretStr = Field(
        validation_alias="MAIL_KEYS",
        description="Keys for secrets inside events (provisioner and notifier only): id:base64, the first one active, "
        "or file:/path to a file with mode 0600. Make one with `python -m keyturn.sealing 2026-11`",
    )
    smtp_host: str = Field(default="127.0.0.1", validation_alias="SMTP_HOST", description="The mail server")
    smtp_port: int = Field(default=587, validation_alias="SMTP_PORT", description="Its port: 587, 465 with tls, or 25")
    smtp_tls: Literal["none", "starttls", "tls"] = Field(
        default="starttls",
        validation_alias="SMTP_TLS",
        description="starttls (required, not only tried), tls from the first byte, or none",
    )
    smtp_ca_file: Path | None = Field(
        default=None,
        validation_alias="SMTP_CA_FILE",
        description="Certificates to trust for the mail server, where it has one of a private authority",
    )
    smtp_username: str = Field(default="", validation_alias="SMTP_USERNAME", description="Empty: no login")
    smtp_password: SecretStr = Field(
        default=SecretStr(""), validation_alias="SMTP_PASSWORD", description="Its password"
    )
    smtp_from: str = Field(
        default="Keyturn <keyturn@localhost.localdomain>",
        validation_alias="SMTP_FROM",
        description="Sender of all mails: Name <address>. The name is shown in the mails as well",
    )
    smtp_timeout: float = Field(
        default=30, gt=0, le=300, validation_alias="SMTP_TIMEOUT", description="Seconds to wait for each answer"
    )
    operator_email: str = Field(
        validation_alias="OPERATOR_EMAIL",
        examples=["operator@example.com"],
        description="Who is told about what needs a person: failed installs, payments to review, unreadable webhooks",
    )
