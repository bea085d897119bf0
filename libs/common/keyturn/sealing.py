"""Secrets at rest and in events: XChaCha20-Poly1305 under a ring of keys.

A sealed value reads `x1.<key id>.<base64url of nonce and ciphertext>`. The place it belongs to is authenticated with
it, so that a ciphertext copied to another row, column or event does not open. Losing the keys loses every sealed
value: keep their backup apart from the database's.

`python -m keyturn.sealing 2026-11` prints a new key line with that id.
"""

import base64
import hashlib
import os
import re
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn, Self

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt as _decrypt,
)
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_encrypt as _encrypt,
)
from nacl.exceptions import CryptoError
from nacl.exceptions import TypeError as NaclTypeError

from keyturn.errors import SealError
from keyturn.events.sealed import Sealed

VERSION = "x1"
KEY_BYTES = 32
NONCE_BYTES = 24
CHECK_BYTES = 8
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CONTEXT = b"keyturn/sealed/v1"
_PURPOSE = b"keyturn-seal-1"  # at most 16 bytes: the cipher's key is derived, so that no other purpose shares it
_CHECK = b"keyturn-check-1"


class KeyRing:
    """Named keys, the first of which seals; all of them open."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise SealError("no key: give at least one, as id:base64")
        self._active = next(iter(keys))
        self._keys = {key_id: _derived(_checked(key_id, key)) for key_id, key in keys.items()}
        self._check_values = {key_id: _check_value(key) for key_id, key in keys.items()}

    @classmethod
    def from_text(cls, text: str) -> Self:
        """`id:base64` entries separated by commas or new lines, or `file:/path` to a file of them (mode 0600)."""
        if text.strip().startswith("file:"):
            text = _read_private(Path(text.strip().removeprefix("file:")))
        keys: dict[str, bytes] = {}
        for entry in text.replace(",", "\n").split():
            key_id, separator, encoded = entry.partition(":")
            if not separator:
                raise SealError("a key must read id:base64")
            if key_id in keys:
                raise SealError(f"key id {key_id!r} is there twice")
            keys[key_id] = _decoded(encoded)
        if len(set(keys.values())) < len(keys):
            raise SealError("one key is there under two ids")
        return cls(keys)

    def active_id(self) -> str:
        """The id of the key that seals new values."""
        return self._active

    def seal(self, plaintext: str, *, place: tuple[str, ...]) -> Sealed[str]:
        """Encrypt for one place: (table, row, column), or (wire name, subject, field) in an event."""
        nonce = os.urandom(NONCE_BYTES)
        context = _additional_data(place, self._active)
        blob = nonce + _encrypt(plaintext.encode(), context, nonce, self._keys[self._active])
        return Sealed(f"{VERSION}.{self._active}.{_encoded(blob)}")

    def open(self, sealed: Sealed[str], *, place: tuple[str, ...]) -> str:
        """The plaintext. Raises `SealError`, without any content, for a wrong key or place or a changed byte."""
        key_id, blob = _parse(sealed)
        if (key := self._keys.get(key_id)) is None:
            raise SealError("sealed with a key that is not in this ring")
        try:
            nonce, ciphertext = blob[:NONCE_BYTES], blob[NONCE_BYTES:]
            return _decrypt(ciphertext, _additional_data(place, key_id), nonce, key).decode()
        except (CryptoError, ValueError, NaclTypeError):
            raise SealError("does not open: wrong key, wrong place, or altered") from None

    @property
    def rotating(self) -> bool:
        """Whether there is more than the active key, so that something may have to be sealed again."""
        return len(self._keys) > 1

    def needs_rotation(self, sealed: Sealed[str]) -> bool:
        """Whether the value should be sealed again, since another key is active now."""
        return _parse(sealed)[0] != self._active

    def check_values(self) -> dict[str, bytes]:
        """For each key id eight bytes that are always the same for one key and tell nothing of it."""
        return dict(self._check_values)

    def __repr__(self) -> str:
        return f"KeyRing(active={self._active!r}, keys={len(self._keys)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key ring is not written anywhere")


def new_key_line(key_id: str) -> str:
    """A new random key, as a line for a ring."""
    line = f"{key_id}:{base64.b64encode(os.urandom(KEY_BYTES)).decode()}"
    KeyRing.from_text(line)
    return line


def _checked(key_id: str, key: bytes) -> bytes:
    if not _ID.fullmatch(key_id):
        raise SealError("a key id has 1 to 64 letters, digits, hyphens or underscores")
    if len(key) != KEY_BYTES:
        raise SealError(f"key {key_id!r} has {len(key)} bytes instead of {KEY_BYTES}")
    if not any(key):
        raise SealError(f"key {key_id!r} is all zeros")
    return key


def _derived(key: bytes) -> bytes:
    return hashlib.blake2b(digest_size=KEY_BYTES, key=key, person=_PURPOSE).digest()


def _check_value(key: bytes) -> bytes:
    return hashlib.blake2b(b"keyturn", digest_size=CHECK_BYTES, key=key, person=_CHECK).digest()


def _decoded(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except ValueError:
        raise SealError("a key is not valid base64") from None


def _additional_data(place: tuple[str, ...], key_id: str) -> bytes:
    if not place or any(not part or "\0" in part for part in place):
        raise SealError("a place needs names that are not empty")
    return b"\0".join([_CONTEXT, *(part.encode() for part in place), key_id.encode()])


def _parse(sealed: Sealed[str]) -> tuple[str, bytes]:
    version, _, rest = sealed.ciphertext.partition(".")
    key_id, _, encoded = rest.partition(".")
    if version != VERSION or not key_id or not encoded:
        raise SealError("not a sealed value")
    try:
        blob = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except ValueError:
        raise SealError("not a sealed value") from None
    if _encoded(blob) != encoded:  # one value has one text
        raise SealError("not a sealed value")
    return key_id, blob


def _encoded(blob: bytes) -> str:
    return base64.urlsafe_b64encode(blob).rstrip(b"=").decode()


def _read_private(path: Path) -> str:
    """Opens first and asks the open file, so that nobody can swap it in between."""
    with path.open() as file:
        info = os.fstat(file.fileno())
        if stat.S_IMODE(info.st_mode) & 0o077:
            raise SealError(f"{path} can be read by others: chmod 600 it")
        if info.st_uid != os.geteuid():
            raise SealError(f"{path} belongs to another user")
        return file.read()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m keyturn.sealing ID")
    print(new_key_line(sys.argv[1]))  # noqa: T201 - the command's answer
