"""What the provisioner reads from the environment."""

from pathlib import Path

from pydantic import Field, SecretStr

from keyturn.settings import ServiceSettings


class ProvisionerSettings(ServiceSettings):
    port: int = Field(
        default=8002, validation_alias="PROVISIONER_PORT", description="Where the gateway reaches the provisioner"
    )
    database_url: str = Field(
        validation_alias="PROVISIONER_DATABASE_URL",
        repr=False,
        examples=["postgresql://provisioner:change-me@127.0.0.1:5432/provisioner"],
        description="The provisioner's own database",
    )
    sealing_keys: SecretStr = Field(
        validation_alias="PROVISIONER_SEALING_KEYS",
        description="Key ring for what the provisioner stores: id:base64 entries, the first one seals; or file:/path. "
        "`python -m keyturn.sealing ID` makes one",
    )
    mail_keys: SecretStr = Field(
        validation_alias="MAIL_KEYS",
        description="Key ring for setup links and credentials on their way to the notifier, which has the same",
    )
    blueprints: Path = Field(
        default=Path("blueprints"), validation_alias="BLUEPRINTS", description="The folder with the blueprints"
    )
    base_domain: str = Field(
        default="localhost",
        validation_alias="BASE_DOMAIN",
        description="Installs get a subdomain of it",
    )
    local_data: Path = Field(
        default=Path("data/local"),
        validation_alias="LOCAL_DATA",
        description="The folder in which local.process keeps each program's data",
    )
    local_ports: str = Field(
        default="20000-29999",
        pattern=r"^\d{4,5}-\d{4,5}$",
        validation_alias="LOCAL_PORTS",
        description="The loopback ports that local.process may use",
    )
    installs_at_once: int = Field(
        default=8,
        ge=1,
        validation_alias="INSTALLS_AT_ONCE",
        description="How many installs one replica works on at the same time",
    )
    retention_days: int = Field(
        default=30,
        ge=0,
        le=3650,
        validation_alias="RETENTION_DAYS",
        description="Days that the data of an install is kept after an operator deleted it; where its entitlement has "
        "ended, the product's policy says how long",
    )

    @property
    def port_range(self) -> range:
        first, _, last = self.local_ports.partition("-")
        return range(int(first), int(last) + 1)
