"""The lab's CA: made once, kept, and replaced in time."""

import contextlib
import datetime
import ssl
import threading
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness.errors import LabError
from harness.supply.ca import ca_pem, load_ca


def test_it_is_made_once_and_kept_for_its_owner_only(cache: Path) -> None:
    first = ca_pem()
    assert ca_pem() == first
    assert load_ca().cert_pem.bytes() == first
    assert (cache / "ca" / "ca.pem").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in (cache / "ca").iterdir() if p.name != "lock"] == ["ca.pem"]


@pytest.mark.usefixtures("cache")
def test_what_it_issues_is_trusted_by_those_who_trust_it() -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_ca().issue_cert("control.test").configure_cert(server)
    assert shakes_hands(server, ssl.create_default_context(cadata=ca_pem().decode()))
    with pytest.raises(ssl.SSLCertVerificationError):
        shakes_hands(server, ssl.create_default_context())


def shakes_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> bool:
    """Do a TLS handshake in memory; raises what either side raises."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(down, up, server_hostname="control.test"),
        server.wrap_bio(up, down, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return ends[0].version() is not None


@pytest.mark.usefixtures("cache")
def test_all_who_ask_at_once_get_the_same() -> None:
    got: list[bytes] = []
    threads = [threading.Thread(target=lambda: got.append(ca_pem())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == len(threads)
    assert len(set(got)) == 1


def test_a_spent_one_is_replaced(cache: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "spent")])
    now = datetime.datetime.now(datetime.UTC)
    spent = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=3))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    (cache / "ca").mkdir(parents=True)
    (cache / "ca" / "ca.pem").write_bytes(spent + trustme.CA().private_key_pem.bytes())
    assert ca_pem() != spent


def test_something_else_in_its_place_is_an_error(cache: Path) -> None:
    (cache / "ca").mkdir(parents=True)
    (cache / "ca" / "ca.pem").write_text("not a certificate")
    with pytest.raises(LabError, match=r"ca\.pem"):
        ca_pem()
