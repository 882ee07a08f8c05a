"""The sandbox's certificate authority: who trusts it reaches the sandbox, and nothing else."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from pilothouse.sandbox import certificates
from pilothouse.sandbox.certificates import RENEWAL, SERVER_LIFE, issue


def shake_hands(paths: tuple[Path, Path, Path], name: str, trusted: Path | None = None) -> None:
    """A TLS handshake over a socket pair, verified the way any client verifies."""
    authority, certificate, key = paths
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate, key)
    calling = ssl.create_default_context(cafile=str(trusted or authority))
    near, far = socket.socketpair()

    def serve() -> None:
        # The caller tells whether it trusts us; what it does to the line afterwards is its own affair.
        with contextlib.suppress(OSError), serving.wrap_socket(far, server_side=True) as line:
            line.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        calling.wrap_socket(near, server_hostname=name).close()
    finally:
        near.close()
        thread.join()
        far.close()


@pytest.mark.parametrize(
    "name", ["localhost", "127.0.0.1", "login.salesforce.com", "acme.my.salesforce.com", "acme--dev.sandbox.my.salesforce.com"]
)
def test_a_client_that_trusts_the_authority_reaches_the_sandbox_under_each_name(tmp_path: Path, name: str) -> None:
    shake_hands(issue(tmp_path), name)


def test_the_certificate_is_not_good_for_another_host(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(issue(tmp_path), "example.com")


def test_a_client_that_trusts_another_authority_is_warned(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(issue(tmp_path / "one"), "localhost", trusted=issue(tmp_path / "other")[0])


def test_the_authority_cannot_vouch_for_other_domains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "NAMES", ("bank.example",))
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        shake_hands(issue(tmp_path), "bank.example")


def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    issue(tmp_path / "tls")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "tls").iterdir()}
    assert modes == dict.fromkeys(("ca.pem", "ca.key", "server.pem", "server.key"), 0o600)
    assert (tmp_path / "tls").stat().st_mode & 0o077 == 0


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    issue(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    issue(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_certificate_near_its_end_is_renewed_under_the_same_authority(tmp_path: Path) -> None:
    authority, certificate, _ = issue(tmp_path)
    trusted, old = authority.read_bytes(), certificate.read_bytes()
    paths = issue(tmp_path, now=datetime.now(UTC) + SERVER_LIFE - RENEWAL + timedelta(days=1))
    assert authority.read_bytes() == trusted
    assert certificate.read_bytes() != old
    renewed = x509.load_pem_x509_certificate(paths[1].read_bytes())
    assert renewed.not_valid_after_utc > datetime.now(UTC) + SERVER_LIFE


def test_an_authority_near_its_end_is_replaced_with_all_it_signed(tmp_path: Path) -> None:
    authority, _, _ = issue(tmp_path, now=datetime.now(UTC) - certificates.AUTHORITY_LIFE + timedelta(days=2))
    old = authority.read_bytes()
    paths = issue(tmp_path)
    assert authority.read_bytes() != old
    shake_hands(paths, "localhost")


@pytest.mark.parametrize("damaged", ["ca.pem", "ca.key", "server.pem", "server.key"])
def test_a_damaged_file_is_replaced(tmp_path: Path, damaged: str) -> None:
    issue(tmp_path)
    (tmp_path / damaged).write_text("not a certificate")
    shake_hands(issue(tmp_path), "localhost")
