import base64
import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt

from keyturn.errors import SealError
from keyturn.events import Sealed
from keyturn.sealing import KeyRing, new_key_line

PLACE = ("setup_links", "0192d9a0", "token")
OLD, NEW = new_key_line("2026-10"), new_key_line("2026-11")
RING = KeyRing.from_text(NEW)
SEALED = RING.seal("the plaintext", place=PLACE)


def test_the_cipher_is_the_one_of_the_published_vector() -> None:
    """draft-irtf-cfrg-xchacha, A.3.1."""
    plaintext = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it."
    )
    aad = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    nonce = bytes(range(0x40, 0x58))
    found = crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, aad, nonce, bytes(range(0x80, 0xA0)))
    assert found[-16:].hex() == "c0875924c1c7987947deafd8780acf49"
    assert found[:16].hex() == "bd6d179d3e83d43b9576579493c0e939"


@given(st.text(max_size=2000))
def test_what_was_sealed_opens(plaintext: str) -> None:
    assert RING.open(RING.seal(plaintext, place=PLACE), place=PLACE) == plaintext


def test_64_kib_open_as_well() -> None:
    assert len(RING.open(RING.seal("x" * 65536, place=PLACE), place=PLACE)) == 65536


def test_two_seals_of_one_value_differ() -> None:
    assert RING.seal("same", place=PLACE) != RING.seal("same", place=PLACE)


@given(st.integers(min_value=len("x1.2026-11."), max_value=len(SEALED.ciphertext) - 1), st.sampled_from("AQgw_-9z"))
def test_a_changed_character_does_not_open(position: int, character: str) -> None:
    text = SEALED.ciphertext
    changed = text[:position] + character + text[position + 1 :]
    if changed != text:
        with pytest.raises(SealError):
            RING.open(Sealed(changed), place=PLACE)


@pytest.mark.parametrize(
    "place",
    [
        ("setup_links", "0192d9a1", "token"),
        ("setup_links", "0192d9a0", "credentials"),
        ("installs", "0192d9a0", "token"),
        ("setup_links", "0192d9a0"),
        ("setup_links0192d9a0token",),
    ],
)
def test_a_value_copied_to_another_place_does_not_open(place: tuple[str, ...]) -> None:
    with pytest.raises(SealError):
        RING.open(SEALED, place=place)


@pytest.mark.parametrize("place", [(), ("", "a"), ("a\0b",)])
def test_a_place_that_could_be_mistaken_is_refused(place: tuple[str, ...]) -> None:
    with pytest.raises(SealError):
        RING.seal("x", place=place)


@settings(max_examples=50)
@given(st.integers(min_value=0, max_value=len(SEALED.ciphertext) - 1))
def test_a_value_cut_short_does_not_open(length: int) -> None:
    with pytest.raises(SealError):
        RING.open(Sealed(SEALED.ciphertext[:length]), place=PLACE)


@pytest.mark.parametrize(
    "text", ["", "x1", "x1.2026-11", "x2.2026-11.AAAA", "x1.2026-11.A", "x1.2026-11.A+/=", "x1.2026-11.é"]
)
def test_what_is_no_sealed_value_does_not_open(text: str) -> None:
    with pytest.raises(SealError):
        RING.open(Sealed(text), place=PLACE)


def test_another_ring_with_the_same_id_does_not_open() -> None:
    with pytest.raises(SealError):
        KeyRing.from_text(new_key_line("2026-11")).open(SEALED, place=PLACE)


def test_a_key_id_renamed_on_the_way_does_not_open() -> None:
    renamed = Sealed[str](SEALED.ciphertext.replace("2026-11", "2026-12"))
    both = KeyRing.from_text(f"{NEW},{NEW.replace('2026-11', '2026-12').replace(NEW[8:], OLD[8:])}")
    with pytest.raises(SealError):
        both.open(renamed, place=PLACE)


def test_keys_rotate_without_a_value_being_lost() -> None:
    sealed = KeyRing.from_text(OLD).seal("kept", place=PLACE)
    during = KeyRing.from_text(f"{NEW}\n{OLD}")
    assert during.active_id() == "2026-11"
    assert during.needs_rotation(sealed)
    again = during.seal(during.open(sealed, place=PLACE), place=PLACE)
    assert not during.needs_rotation(again)
    after = KeyRing.from_text(NEW)
    assert after.open(again, place=PLACE) == "kept"
    with pytest.raises(SealError, match="not in this ring"):
        after.open(sealed, place=PLACE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no-colon",
        "a:not base64!",
        "a:" + base64.b64encode(b"short").decode(),
        "a:" + base64.b64encode(bytes(32)).decode(),
        "a.b:" + base64.b64encode(bytes(range(32))).decode(),
        f"{OLD},{new_key_line('2026-10')}",
        f"{OLD},other:{OLD.partition(':')[2]}",
    ],
    ids=["empty", "no colon", "no base64", "short", "zero", "dotted id", "one id twice", "one key twice"],
)
def test_a_ring_with_a_bad_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(SealError) as refused:
        KeyRing.from_text(text)
    assert OLD.partition(":")[2] not in str(refused.value)


def test_a_key_file_is_read_only_when_it_is_private(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{NEW}\n{OLD}\n")
    file.chmod(0o644)
    with pytest.raises(SealError, match="chmod 600"):
        KeyRing.from_text(f"file:{file}")
    file.chmod(0o600)
    assert KeyRing.from_text(f"file:{file}").open(SEALED, place=PLACE) == "the plaintext"


def test_neither_ring_nor_error_nor_sealed_value_shows_content() -> None:
    assert NEW.partition(":")[2] not in repr(RING)
    assert "plaintext" not in repr(SEALED)
    with pytest.raises(SealError) as refused:
        RING.open(SEALED, place=("x",))
    assert "plaintext" not in str(refused.value)
    assert refused.value.__cause__ is None
    with pytest.raises(TypeError):
        pickle.dumps(RING)
