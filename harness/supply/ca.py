"""The lab's own certificate authority: made once, kept in the cache, trusted by every image of the lab."""

import datetime
import fcntl
import os
from pathlib import Path

import trustme
from cryptography import x509

from harness.errors import LabError
from harness.run import places

ORGANISATION = "NoTailCar lab, not for the real internet"
LEFT_AT_LEAST = datetime.timedelta(days=2)
"""A CA with less than this to live is replaced, and with it every image that trusts it."""


def ca_pem() -> bytes:
    """Give the CA's certificate as PEM; makes the CA where there is none, or a spent one.

    Raises:
        LabError: what the cache holds is no certificate.
    """
    return _pems()[0]


def load_ca() -> trustme.CA:
    """Give the CA to issue certificates with; the same for all runs of one cache.

    Raises:
        LabError: what the cache holds is no CA.
    """
    certificate, key = _pems()
    return trustme.CA.from_pem(certificate, key)


def _pems() -> tuple[bytes, bytes]:
    folder = places.cache() / "ca"
    if found := _read(folder):
        return found
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Another run may have made it while we waited.
        if found := _read(folder):
            return found
        ca = trustme.CA(organization_name=ORGANISATION)
        made = ca.cert_pem.bytes(), ca.private_key_pem.bytes()
        # Certificate and key in one file: they can only be replaced together.
        _write(folder / "ca.pem", b"".join(made))
        return made
    finally:
        os.close(lock)


def _read(folder: Path) -> tuple[bytes, bytes] | None:
    try:
        content = (folder / "ca.pem").read_bytes()
    except FileNotFoundError:
        return None
    end = b"-----END CERTIFICATE-----\n"
    certificate, found, key = content.partition(end)
    try:
        parsed = x509.load_pem_x509_certificate(certificate + found)
    except ValueError as error:
        raise LabError(
            f"{folder / 'ca.pem'} does not begin with a certificate", remedy=f"remove the folder {folder}"
        ) from error
    left = parsed.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return (certificate + found, key) if left > LEFT_AT_LEAST else None


def _write(file: Path, content: bytes) -> None:
    part = file.with_suffix(".part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    part.rename(file)
