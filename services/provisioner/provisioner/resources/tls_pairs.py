"""A certificate and its key: asked for, checked, and put where a web server finds them."""

import os
import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID

CHAIN, KEY, CURRENT = "fullchain.pem", "key.pem", "current"
LONGEST_PEM = 256 * 1024


class NotUsable(Exception):
    """Why a pair cannot be used; never a byte of it."""


@dataclass(frozen=True)
class Facts:
    """What a certificate says of itself."""

    serial: str
    names: frozenset[str]
    begins: datetime
    ends: datetime

    @property
    def lifetime(self) -> timedelta:
        return self.ends - self.begins

    def covers(self, name: str) -> bool:
        return name in self.names or f"*.{name.partition('.')[2]}" in self.names


def new_key() -> str:
    """A private key, as PEM: for an account, or a certificate."""
    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


def request(key: str, names: Sequence[str]) -> bytes:
    """A signing request, as PEM."""
    loaded = serialization.load_pem_private_key(key.encode(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    wanted = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(wanted, critical=False)
    return builder.sign(loaded, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def checked(chain: str, key: str, names: Collection[str]) -> Facts:
    """Raises `NotUsable` where the two do not belong together, or do not cover the names."""
    try:
        leaf = _leaf(chain)
        private = serialization.load_pem_private_key(key.encode(), None)
    except (ValueError, IndexError, TypeError, UnsupportedAlgorithm):
        raise NotUsable("the certificate or its key cannot be read") from None
    if _public(leaf.public_key()) != _public(private.public_key()):
        raise NotUsable("the certificate and the key do not belong together")
    facts = _facts(leaf)
    if lacking := sorted(name for name in names if not facts.covers(name)):
        raise NotUsable(f"the certificate does not cover {lacking[0]}")
    return facts


def facts_at(file: Path) -> Facts | None:
    """Of the certificate that lies there; None where none can be read."""
    try:
        with file.open() as opened:
            return _facts(_leaf(opened.read(LONGEST_PEM)))
    except (OSError, ValueError, IndexError, UnsupportedAlgorithm):
        return None


def _leaf(chain: str) -> x509.Certificate:
    return x509.load_pem_x509_certificates(chain.encode())[0]


def _facts(leaf: x509.Certificate) -> Facts:
    return Facts(f"{leaf.serial_number:x}", _names(leaf), leaf.not_valid_before_utc, leaf.not_valid_after_utc)


def _names(leaf: x509.Certificate) -> frozenset[str]:
    with suppress(x509.ExtensionNotFound):
        found = leaf.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
        assert isinstance(found, x509.SubjectAlternativeName)
        return frozenset(found.get_values_for_type(x509.DNSName))
    return frozenset()


def _public(key: object) -> bytes:
    encoding, shape = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    found: bytes = key.public_bytes(encoding, shape)  # type: ignore[attr-defined] # every kind of key has it
    return found


@dataclass(frozen=True)
class Files:
    """A folder with a folder for each certificate. What is current is a link, so that chain and key change together:
    `<folder>/<certificate>/current/fullchain.pem` never belongs to another key than the `key.pem` beside it."""

    folder: Path

    def chain(self, certificate: UUID) -> Path:
        return self._of(certificate) / CURRENT / CHAIN

    def key(self, certificate: UUID) -> Path:
        return self._of(certificate) / CURRENT / KEY

    def has(self, certificate: UUID, serial: str) -> bool:
        link = self._of(certificate) / CURRENT
        return link.is_symlink() and link.readlink().name == serial and self.key(certificate).is_file()

    def write(self, certificate: UUID, serial: str, chain: str, key: str) -> None:
        """Raises OSError. The one before is removed only when nobody is led to it any more."""
        here = self._of(certificate)
        folder = here / serial
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _put(folder / CHAIN, chain)
        _put(folder / KEY, key)
        link = here / f"{CURRENT}.new"
        link.unlink(missing_ok=True)
        link.symlink_to(serial, target_is_directory=True)
        link.replace(here / CURRENT)
        for old in here.iterdir():
            if old.name not in {serial, CURRENT}:
                shutil.rmtree(old, ignore_errors=True)

    def remove(self, certificate: UUID) -> bool:
        here = self._of(certificate)
        existed = here.exists()
        with suppress(FileNotFoundError):
            shutil.rmtree(here)
        return existed

    def _of(self, certificate: UUID) -> Path:
        return self.folder.absolute() / str(certificate)


def _put(file: Path, text: str) -> None:
    """On the disk before it has its name; readable by nobody else at any time."""
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    fresh.replace(file)
