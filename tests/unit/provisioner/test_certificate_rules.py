"""When a certificate is renewed, how long a failure keeps it, when somebody is told; CAA; pairs and where they lie."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from provisioner.certificates.records import Certificate, fingerprint, pause
from provisioner.certificates.watch import _next
from provisioner.resources.tls import CertificateParameters
from provisioner.resources.tls_caa import permits
from provisioner.resources.tls_pairs import Facts, Files, NotUsable, checked, new_key, request

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def kept(names: tuple[str, ...] = ("shop.example.com",), days: float = 90) -> Certificate:
    found = Certificate(uuid4(), fingerprint(names), list(names), "dns-01", NOW)
    real = NOW - 400 * DAY  # our clock may be anywhere
    found.issued("key", "chain", Facts("1a", frozenset(names), real, real + days * DAY), real, NOW)
    return found


def test_it_is_renewed_after_two_thirds_of_its_life_by_our_clock() -> None:
    found = kept()
    assert (found.expires_at, found.renew_at) == (NOW + 90 * DAY, NOW + 60 * DAY)
    assert not found.wanted(NOW + 59 * DAY)
    assert found.wanted(NOW + 60 * DAY)
    assert kept(days=6).renew_at == NOW + 4 * DAY


def test_an_order_under_way_is_gone_on_with_whatever_is_there() -> None:
    found = kept()
    found.ordered("key", "https://ca.example/order/1", NOW)
    assert found.wanted(NOW)


def test_a_servers_wish_is_followed_but_not_at_once() -> None:
    found = kept(days=24)
    found.agreed(NOW + 2 * DAY)
    assert found.renew_at == NOW + 2 * DAY
    found.agreed(NOW - DAY)
    assert found.renew_at == NOW + DAY


def test_pauses_double_from_five_minutes_to_a_day_so_that_a_name_fails_less_than_five_times_an_hour() -> None:
    pauses = [pause(n) for n in range(1, 12)]
    assert pauses[0] == timedelta(minutes=5)
    assert pauses[-1] == DAY
    assert sum(pauses[:4], timedelta()) > timedelta(hours=1)


def test_what_was_never_there_is_parked_where_somebody_must_act_and_what_is_there_is_tried_on() -> None:
    found, never = kept(), Certificate(uuid4(), "x", ["a.example"], "http-01", NOW)
    for one in (found, never):
        one.troubled("owner", "CAA", NOW)
    assert never.retry_at is None
    assert found.retry_at == NOW + timedelta(minutes=5)
    never.troubled("retry", "not proven", NOW)
    assert never.retry_at == NOW + timedelta(minutes=10)


def test_a_limit_is_no_failure() -> None:
    found = kept()
    found.troubled("capacity", "too many", NOW, timedelta(hours=34))
    assert (found.failures, found.retry_at) == (0, NOW + timedelta(hours=34))


@pytest.mark.parametrize(
    ("days", "told"), [(90, [21, 14, 7, 3, 1, 0]), (45, [14, 7, 3, 1, 0]), (6, [3, 1, 0]), (0.25, [1, 0])]
)
def test_its_end_is_told_in_its_last_quarter_once_for_each_step(days: float, told: list[int]) -> None:
    found, seen = kept(days=days), []
    for hour in range(int(days * 24) + 3):
        level = found.reminder(NOW + timedelta(hours=hour))
        if level is not None:
            seen.append(level)
            found.reminded = level
    assert seen == told


def test_only_the_wildcard_of_the_base_domain_outlives_its_installs_and_only_while_it_is_valid() -> None:
    shared = kept(("*.apps.example", "apps.example"))
    assert shared.kept_for_others("apps.example", NOW)
    assert not shared.kept_for_others("apps.example", NOW + 90 * DAY)
    assert not kept(("*.shop.example.com",)).kept_for_others("apps.example", NOW)


def test_the_same_names_in_any_order_are_one_certificate() -> None:
    assert fingerprint(["b.example", "a.example"]) == fingerprint(["a.example", "b.example"])
    assert fingerprint(["a.example"]) != fingerprint(["a.example"], "/etc/own.pem")


def test_the_watch_is_due_at_the_next_four_o_clock() -> None:
    assert _next(datetime(2026, 12, 1, 3, 59, tzinfo=UTC)) == datetime(2026, 12, 1, 4, tzinfo=UTC)
    assert _next(datetime(2026, 12, 1, 4, 0, tzinfo=UTC)) == datetime(2026, 12, 2, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("records", "wildcard", "allowed"),
    [
        (['0 issue "ca.example"'], False, True),
        (['0 issue "ca.example"'], True, True),
        (['0 issue "CA.example ; accounturi=x"'], False, True),
        (['0 issue ";"'], False, False),
        (['0 issue ""'], False, False),
        (['0 issue "other.example"'], False, False),
        (['0 issue "other.example"', '0 issue "ca.example"'], False, True),
        (['0 issue "ca.example"', '0 issuewild ";"'], True, False),
        (['0 issue "ca.example"', '0 issuewild ";"'], False, True),
        (['0 issuewild "ca.example"'], False, True),
        (['0 iodef "mailto:a@example.com"'], False, True),
        (['128 tbs "x"', '0 issue "ca.example"'], False, False),
        (['0 tbs "x"'], False, True),
        (['128 ISSUE "ca.example"'], False, True),
    ],
)
def test_caa_records_decide_who_may_issue(records: list[str], wildcard: bool, allowed: bool) -> None:
    assert permits(records, {"ca.example"}, wildcard=wildcard) is allowed


@pytest.mark.parametrize(
    "said",
    [
        {"names": []},
        {"names": ["*.example.com"]},
        {"names": ["*.example.com"], "challenge": "http-01"},
        {"names": ["shop.example.com"], "certificate": "/etc/a.pem"},
        {"names": ["shop.example.com"], "certificate": "a.pem", "key": "/etc/a.key"},
        {"names": ["shop.example.com"], "certificate": "/etc/a\0.pem", "key": "/etc/a.key"},
        {"names": ["../shop"]},
        {"names": ["_acme.example.com"]},
        {"names": ["shop.example.com"] * 101},
        {"names": ["shop.example.com"], "challenge": "tls-alpn-01"},
    ],
)
def test_parameters_that_make_no_certificate_are_refused(said: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CertificateParameters.model_validate(said)


def issued(key: str, *names: str, days: int = 90) -> str:
    """A certificate that signs itself."""
    private = serialization.load_pem_private_key(key.encode(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(NOW).not_valid_after(NOW + days * DAY)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(map(x509.DNSName, names))), critical=False)
    return builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_a_pair_is_checked_for_what_it_is_to_be_used_for() -> None:
    key = new_key()
    facts = checked(issued(key, "shop.example.com", "*.example.org"), key, ["shop.example.com", "a.example.org"])
    assert (facts.begins, facts.lifetime) == (NOW, 90 * DAY)
    for chain, other, names in (
        (issued(key, "shop.example.com"), new_key(), ["shop.example.com"]),
        (issued(key, "shop.example.com"), key, ["example.com"]),
        (issued(key, "*.example.com"), key, ["a.b.example.com"]),
        (issued(key), key, ["shop.example.com"]),
        ("no certificate", key, []),
        (issued(key), "no key", []),
        ("", "", []),
    ):
        with pytest.raises(NotUsable) as refused:
            checked(chain, other, names)
        assert "BEGIN" not in str(refused.value)


def test_a_request_names_what_is_wanted_and_nothing_else() -> None:
    wanted = x509.load_pem_x509_csr(request(new_key(), ["shop.example.com", "*.example.com"]))
    names = wanted.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["shop.example.com", "*.example.com"]
    assert wanted.is_signature_valid
    assert list(wanted.subject) == []


def test_chain_and_key_change_together_and_nobody_else_may_read_them(tmp_path: Path) -> None:
    files, one = Files(tmp_path / "tls"), uuid4()
    files.write(one, "1a", "chain 1", "key 1")
    assert (files.chain(one).read_text(), files.key(one).read_text()) == ("chain 1", "key 1")
    assert files.has(one, "1a")
    opened = os.open(files.chain(one).parent, os.O_RDONLY | os.O_DIRECTORY)  # who is led there just now
    files.write(one, "2b", "chain 2", "key 2")
    os.close(opened)
    assert (files.chain(one).read_text(), files.key(one).read_text()) == ("chain 2", "key 2")
    assert not files.has(one, "1a")
    assert {path.stat().st_mode & 0o777 for path in (files.chain(one), files.key(one))} == {0o600}
    assert files.chain(one).parent.resolve().stat().st_mode & 0o077 == 0
    assert sorted(path.name for path in files.chain(one).parents[1].iterdir()) == ["2b", "current"]
    assert files.remove(one)
    assert not files.remove(one)


def test_files_that_were_written_half_are_written_anew(tmp_path: Path) -> None:
    files, one = Files(tmp_path), uuid4()
    (tmp_path / str(one) / "1a").mkdir(parents=True)
    (tmp_path / str(one) / "1a" / "key.new").write_text("half a k")
    (tmp_path / str(one) / "current.new").symlink_to("1a")
    assert not files.has(one, "1a")
    files.write(one, "1a", "chain", "key")
    assert files.has(one, "1a")
    assert files.key(one).read_text() == "key"
