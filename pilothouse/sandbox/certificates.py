"""The sandbox's own certificate authority, and the server certificate that it signs.

Salesforce clients speak https and some hard-code `*.salesforce.com`, so the sandbox needs certificates for names that it
does not own. Its authority is made on the first start, never leaves the folder, and is constrained to those names and
loopback: trusting it opens nothing else. A server certificate near its end is renewed under the same authority, so
that clients which already trust `ca.pem` need not read it again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

NAMES: Final = ("localhost", "*.salesforce.com", "*.my.salesforce.com", "*.sandbox.my.salesforce.com")
ADDRESSES: Final = ("127.0.0.1", "::1")
AUTHORITY_LIFE: Final = timedelta(days=3650)
SERVER_LIFE: Final = timedelta(days=397)  # the longest that browsers accept
RENEWAL: Final = timedelta(days=30)
_CLOCK_SKEW: Final = timedelta(hours=1)


@dataclass(frozen=True)
class _Signed:
    """A certificate and the key that belongs to it."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey

    def lasts(self, until: datetime) -> bool:
        return self.certificate.not_valid_before_utc <= until - RENEWAL and until < self.certificate.not_valid_after_utc


def issue(directory: Path, now: datetime | None = None) -> tuple[Path, Path, Path]:
    """The paths of authority, server certificate and server key; made or renewed where they are missing, damaged or near their end."""
    until = (now or datetime.now(UTC)) + RENEWAL
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    paths = directory / "ca.pem", directory / "server.pem", directory / "server.key"
    authority = _read(paths[0], directory / "ca.key")
    if authority is None or not authority.lasts(until):
        authority = _authority(until - RENEWAL)
        _write(authority, paths[0], directory / "ca.key")
    server = _read(paths[1], paths[2])
    if server is None or not server.lasts(until) or not _signed_by(server, authority):
        _write(_server(authority, until - RENEWAL), paths[1], paths[2])
    return paths


def _authority(now: datetime) -> _Signed:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Pilothouse sandbox authority")
    permitted = [x509.DNSName(domain) for domain in ("localhost", "salesforce.com")]
    permitted_addresses = [x509.IPAddress(ip_network(address)) for address in ADDRESSES]
    certificate = (
        _unsigned(name, name, key, now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.NameConstraints([*permitted, *permitted_addresses], None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _Signed(certificate, key)


def _server(authority: _Signed, now: datetime) -> _Signed:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate
    # A certificate must not outlive its authority: clients would see a chain that is broken, not one that is old.
    life = min(SERVER_LIFE, issuer.not_valid_after_utc - now)
    names = [*map(x509.DNSName, NAMES), *(x509.IPAddress(ip_address(address)) for address in ADDRESSES)]
    signer = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        _unsigned(_name("Pilothouse sandbox"), issuer.subject, key, now, life)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signer), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return _Signed(certificate, key)


def _unsigned(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _signed_by(server: _Signed, authority: _Signed) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        server.certificate.verify_directly_issued_by(authority.certificate)
    except (InvalidSignature, ValueError):
        return False
    return True


def _read(certificate: Path, key: Path) -> _Signed | None:
    """The pair in these files; None where a file is missing or damaged, or where they do not belong together."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        read = x509.load_pem_x509_certificate(certificate.read_bytes())
        secret = load_pem_private_key(key.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(secret, EllipticCurvePrivateKey) or secret.public_key() != read.public_key():
        return None
    return _Signed(read, secret)


def _write(signed: _Signed, certificate: Path, key: Path) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    # The key first: a crash between the two leaves a pair that does not belong together, which the next start replaces.
    _replace(key, signed.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    _replace(certificate, signed.certificate.public_bytes(Encoding.PEM))


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)
