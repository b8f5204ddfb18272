from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from memosctl.certificates import LIFETIME, write_certificates
from memosctl.failures import Failure

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_service_certificate_carries_its_identity_and_the_names_it_is_reached_by(tmp_path: Path) -> None:
    write_certificates(tmp_path, ["storage"], namespace="memory", extra_hosts=["10.0.0.7", "db.example"], now=NOW)

    names = load(tmp_path / "storage.crt").extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://memos/storage"]
    hosts = names.get_values_for_type(x509.DNSName)
    assert {"localhost", "storage.memos", "storage.memory.svc.cluster.local", "db.example"} <= set(hosts)
    assert {ip_address("127.0.0.1"), ip_address("10.0.0.7")} <= set(names.get_values_for_type(x509.IPAddress))


def test_a_service_certificate_is_signed_by_the_authority_for_both_ends_of_a_call(tmp_path: Path) -> None:
    write_certificates(tmp_path, ["storage"], namespace="memos", now=NOW)
    authority, certificate = load(tmp_path / "ca.crt"), load(tmp_path / "storage.crt")

    certificate.verify_directly_issued_by(authority)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert certificate.not_valid_after_utc == NOW + LIFETIME


def test_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    write_certificates(tmp_path / "certs", ["storage"], namespace="memos")

    assert {(tmp_path / "certs" / name).stat().st_mode & 0o777 for name in ("ca.key", "storage.key")} == {0o600}


def test_a_second_run_renews_certificates_under_the_same_authority(tmp_path: Path) -> None:
    write_certificates(tmp_path, ["storage"], namespace="memos")
    before = (tmp_path / "ca.crt").read_bytes()

    written = write_certificates(tmp_path, ["storage", "governance"], namespace="memos")

    assert (tmp_path / "ca.crt").read_bytes() == before
    assert {path.name for path in written} == {"storage.crt", "storage.key", "governance.crt", "governance.key"}
    load(tmp_path / "governance.crt").verify_directly_issued_by(load(tmp_path / "ca.crt"))


def test_an_authority_that_ends_too_soon_issues_nothing(tmp_path: Path) -> None:
    write_certificates(tmp_path, ["storage"], namespace="memos", now=NOW)
    before = (tmp_path / "storage.crt").read_bytes()

    write_certificates(tmp_path, ["storage"], namespace="memos", now=NOW + 8 * LIFETIME)
    renewed = (tmp_path / "storage.crt").read_bytes()
    with pytest.raises(Failure, match=r"ca\.crt ends on 2036"):
        write_certificates(tmp_path, ["storage"], namespace="memos", now=NOW + 9.5 * LIFETIME)

    assert before != renewed == (tmp_path / "storage.crt").read_bytes()


def test_a_directory_of_the_user_keeps_its_mode(tmp_path: Path) -> None:
    out = tmp_path / "shared"
    out.mkdir(mode=0o755)

    write_certificates(out, ["storage"], namespace="memos")

    assert out.stat().st_mode & 0o777 == 0o755
