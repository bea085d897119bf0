"""Names and values of DNS: what is taken, in which one form, and what never gets that far."""

import dns.name
import dns.rdata
import pytest
from dns.rdtypes.ANY.TXT import TXT
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from provisioner.resources.dns_names import a_certificate_name, a_name, a_record_name, content
from provisioner.resources.dns_powerdns import _path
from provisioner.resources.dns_records import RecordsParameters

LONG = "x" * 63


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("_acme-challenge.example.com", "_acme-challenge.example.com"),
        (f"{LONG}.example", f"{LONG}.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
    ],
)
def test_a_name_has_one_form(written: str, name: str) -> None:
    assert a_name(written) == name


HOSTILE = [
    "", ".", "com", "a..com", ".example.com", "-a.com", "a-.com", f"x{LONG}.com", ".".join([LONG] * 4) + ".com",
    "../../etc.passwd", "a/b.com", "a\\b.com", "a%2fb.com", "a?b.com", "a#b.com", "a b.com", " a.com", "a.com\n", "a\n.com",
    "a\0.com", "a'.com", 'a".com', "a;b.com", "a{b}.com", "$(id).com", "`id`.com", "a@b.com", "*.com.*", "*.*.com", "a.*.com",
    "192.0.2.1", "a.1", "[::1]", "example\u3002com", "exam\u2044ple.com", "\u212aeyturn.com", "\uff45xample.com", "xn--.com",
    "xn--paypal-.com", "xn--zzzzzzzzz.com", "ab--cd.com", "\ud800.com", "a\u202eb.com", "a\u200b.com", "a.com:80",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_refused_and_not_repeated(name: str) -> None:
    for of in (a_name, a_record_name, a_certificate_name):
        with pytest.raises(ValueError) as refused:
            of(name)
        assert len(name) < 5 or name not in str(refused.value)


def test_only_the_first_label_of_a_record_may_be_a_star_and_no_certificate_has_an_underscore() -> None:
    assert a_record_name("*.Example.com") == "*.example.com"
    assert a_certificate_name("*.bücher.example") == "*.xn--bcher-kva.example"
    for name in ("*.example.com", "_a.example.com"):
        assert a_record_name(name) == name
    with pytest.raises(ValueError, match="is no domain name"):
        a_name("*.example.com")
    with pytest.raises(ValueError, match="underscore"):
        a_certificate_name("_a.example.com")


@given(st.text(max_size=60))
def test_whatever_is_taken_is_a_name_and_needs_no_escaping(text: str) -> None:
    try:
        name = a_record_name(f"{text}.example.com")
    except ValueError:
        return
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.*")
    assert dns.name.from_text(f"{name}.").to_text() == f"{name}."
    assert a_record_name(name) == name
    assert _path(name) == f"/zones/{name.replace('*', '%2A')}."


@given(st.text(min_size=1, max_size=600).filter(lambda text: text.isprintable() or text.isascii()))
def test_any_text_comes_back_as_it_was_and_stays_in_its_quotes(text: str) -> None:
    written = content("TXT", text)
    assert written.isascii()
    assert written.isprintable()
    read = dns.rdata.from_text("IN", "TXT", written)
    assert isinstance(read, TXT)
    assert b"".join(read.strings) == text.encode()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("A", "192.0.2.256"), ("A", "2001:db8::1"), ("A", "example.com"), ("A", "1"), ("AAAA", "192.0.2.1"),
        ("AAAA", "fe80::1%eth0"), ("CNAME", "example"), ("CNAME", "a b.com"), ("MX", "mail.example.com"),
        ("MX", "70000 mail.example.com"), ("MX", "10 mail.example.com extra"), ("MX", "-1 mail.example.com"),
        ("TXT", ""), ("TXT", "x" * 2049),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_its_type_is_refused(kind: str, value: str) -> None:
    with pytest.raises(ValidationError):
        RecordsParameters.model_validate(_one("www.example.com", kind, value))


def test_values_have_one_form() -> None:
    assert content("AAAA", "2001:DB8:0::1") == "2001:db8::1"
    assert content("MX", "010 Mail.Example.com") == "10 mail.example.com."
    assert content("CNAME", "Bücher.example") == "xn--bcher-kva.example."


@pytest.mark.parametrize(
    "records",
    [
        [("www.example.org", "A")],
        [("www.notexample.com", "A")],
        [("www.example.com", "A"), ("WWW.example.com", "A")],
        [("www.example.com", "CNAME"), ("www.example.com", "A")],
        [("example.com", "CNAME")],
    ],
)
def test_records_that_do_not_go_together_are_refused(records: list[tuple[str, str]]) -> None:
    values = {"A": "192.0.2.1", "CNAME": "other.example"}
    listed = [{"name": name, "type": kind, "values": [values[kind]]} for name, kind in records]
    with pytest.raises(ValidationError):
        RecordsParameters.model_validate({"zone": "example.com", "records": listed})


@pytest.mark.parametrize("ttl", [0, 29, 86_401, -1, "x"])
def test_a_ttl_has_limits(ttl: object) -> None:
    said = _one("www.example.com", "A", "192.0.2.1")
    said["records"][0]["ttl"] = ttl
    with pytest.raises(ValidationError):
        RecordsParameters.model_validate(said)


def _one(name: str, kind: str, value: str) -> dict[str, list[dict[str, object]]]:
    return {"zone": "example.com", "records": [{"name": name, "type": kind, "values": [value]}]}  # type: ignore[dict-item]
