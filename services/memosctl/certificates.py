"""Development certificates: a CA, and a certificate a service that carries its SPIFFE identity.

They are for one machine or a trial cluster. A cluster in earnest takes its certificates from an issuer
that renews them (cert-manager, SPIRE); the names in them are the same.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from memosctl.failures import Failure
from memosctl.state import write_private

LIFETIME = timedelta(days=365)
CA_LIFETIME = 10 * LIFETIME
_BACKDATED = timedelta(minutes=5)  # clocks of two machines differ
_LOOPBACK = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls, *, now: datetime) -> "Authority":
        """Make a new one."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "memos development CA")])
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        certificate = (
            _builder(name, name, key, now, CA_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def load(cls, directory: Path) -> "Authority":
        """Read `ca.crt` and `ca.key`."""
        key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{directory / 'ca.key'} does not hold an elliptic-curve key")
        return cls(x509.load_pem_x509_certificate((directory / "ca.crt").read_bytes()), key)

    def issue(
        self, service: str, *, hosts: Sequence[str], now: datetime
    ) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        """Return a certificate for `spiffe://memos/{service}` and the hosts, with its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, service)])
        certificate = (
            _builder(subject, self.certificate.subject, key, now, LIFETIME)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(_alternatives(service, hosts)), critical=False)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return certificate, key


def spiffe_id(service: str) -> str:
    """Return the identity of a service."""
    return f"spiffe://memos/{service}"


def service_hosts(service: str, *, namespace: str) -> tuple[str, ...]:
    """Return the names a service is reached by: this machine's loopback and its names in a cluster."""
    return (
        f"{service}.memos",  # the name that channels check (memos_runtime.channels.server_name)
        "localhost",
        *_LOOPBACK,
        service,
        f"{service}.{namespace}",
        f"{service}.{namespace}.svc",
        f"{service}.{namespace}.svc.cluster.local",
    )


def write_certificates(
    out: Path, services: Iterable[str], *, namespace: str, extra_hosts: Sequence[str] = (), now: datetime | None = None
) -> list[Path]:
    """Write `ca.crt`, `ca.key` and `{service}.crt`, `{service}.key` for each service; return the files written.

    An authority that is there already is used again, so that the certificates of one service can be renewed.

    Raises:
        Failure: that authority ends before the new certificates would.
    """
    moment = now or datetime.now(UTC)
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    written: list[Path] = []
    if (out / "ca.key").exists():
        authority = Authority.load(out)
        if (end := authority.certificate.not_valid_after_utc) < moment + LIFETIME:
            raise Failure(
                f"The authority {out / 'ca.crt'} ends on {end:%Y-%m-%d}, before new certificates would.",
                "Remove ca.crt and ca.key to make a new one, and renew the certificates of all services.",
            )
    else:
        authority = Authority.create(now=moment)
        written += _write(out, "ca", authority.certificate, authority.key)
    for service in services:
        hosts = (*service_hosts(service, namespace=namespace), *extra_hosts)
        written += _write(out, service, *authority.issue(service, hosts=hosts, now=moment))
    return written


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + lifetime)
    )


def _alternatives(service: str, hosts: Sequence[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(spiffe_id(service))]
    for host in dict.fromkeys(hosts):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _write(out: Path, stem: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> list[Path]:
    public, private = out / f"{stem}.crt", out / f"{stem}.key"
    write_private(
        private,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    write_private(public, certificate.public_bytes(serialization.Encoding.PEM))
    public.chmod(0o644)
    return [public, private]
