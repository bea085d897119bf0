from pathlib import Path

import pytest
from pydantic import Field, SecretStr, ValidationError

from keyturn.clock import MovableClock, SystemClock
from keyturn.settings import SecretList, ServiceSettings, TextList, example


class ShopSettings(ServiceSettings):
    database_url: str = Field(validation_alias="SHOP_DATABASE_URL", repr=False, description="Where the shop keeps rows")
    secrets_in: SecretList = Field(default=(), validation_alias="SHOP_SECRETS", description="Several, by commas")
    origins: TextList = Field(default=("http://a",), validation_alias="SHOP_ORIGINS", description="Who may ask")
    key: SecretStr = Field(validation_alias="SHOP_KEY", description="The key")
    size: int = Field(default=3, validation_alias="SHOP_SIZE", description="How many")


def shop(**values: object) -> ShopSettings:
    defaults: dict[str, object] = {"database_url": "postgresql://u:dbpass99@h/d", "key": "k-123456"}
    return ShopSettings(_env_file=None, **(defaults | values))  # type: ignore[arg-type]


def test_values_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_SECRETS", "new-secret, old-secret,")
    monkeypatch.setenv("SHOP_ORIGINS", "https://a.example,https://b.example")
    monkeypatch.setenv("SHOP_SIZE", "")
    found = shop()
    assert [one.get_secret_value() for one in found.secrets_in] == ["new-secret", "old-secret"]
    assert found.origins == ("https://a.example", "https://b.example")
    assert found.size == 3


def test_a_placeholder_secret_is_refused_and_named_without_its_neighbours() -> None:
    with pytest.raises(ValidationError, match="SHOP_KEY") as refused:
        shop(key="change-me")
    assert "dbpass99" not in str(refused.value)


@pytest.mark.parametrize(
    "wrong", [{"database_url": "postgresql://u:change-me@h/d"}, {"secrets_in": "good-one,Change-Me-too"}]
)
def test_a_placeholder_inside_a_url_or_list_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="placeholder"):
        shop(**wrong)


def test_the_sandbox_takes_placeholders() -> None:
    assert shop(key="change-me", sandbox=True).key.get_secret_value() == "change-me"


def test_nothing_secret_shows_in_a_repr() -> None:
    text = repr(shop(secrets_in="whsec-abcdef", bus_url="amqp://u:buspass99@h/v"))
    for secret in ("dbpass99", "k-123456", "whsec-abcdef", "buspass99"):
        assert secret not in text


def test_every_secret_is_known_to_the_redaction() -> None:
    found = set(
        shop(secrets_in="one-secret,two-secret", bus_url="amqp://u:buspass99@h/v", key="id:base64key").secrets()
    )
    assert {"dbpass99", "buspass99", "one-secret", "two-secret", "id:base64key", "base64key"} <= found


def test_time_moves_only_in_the_sandbox(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    assert isinstance(shop(clock_file=file).make_clock(), SystemClock)
    assert isinstance(shop(clock_file=file, sandbox=True).make_clock(), MovableClock)


def test_the_example_lists_every_variable_once_with_its_description() -> None:
    text = example([__name__])
    lines = text.splitlines()
    assert lines.count("SHOP_KEY=change-me") == 1
    assert "SHOP_ORIGINS=http://a" in lines
    assert "SHOP_SIZE=3" in lines
    assert "SHOP_SECRETS=" in lines
    assert "SANDBOX=false" in lines
    assert lines[lines.index("SHOP_KEY=change-me") - 1] == "# The key"
    assert sum(line.startswith("PUBLIC_URL=") for line in lines) == 1
