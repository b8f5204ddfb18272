"""Mutual TLS between the services. Certificates are read again when their files change."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_LOG = logging.getLogger(__name__)

_SOON = timedelta(days=7)

Stamp = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Certificates:
    """The files of one service: its chain and key, and the authorities that it trusts."""

    cert_file: Path
    key_file: Path
    ca_file: Path

    def stamp(self) -> Stamp:
        """Return what changes when a file changes. Follows links, as Kubernetes swaps those of a mounted secret."""
        return tuple(
            number
            for path in (self.cert_file, self.key_file, self.ca_file)
            for number in (path.stat().st_mtime_ns, path.stat().st_ino)
        )

    def end(self) -> datetime:
        """Return when the certificate ends, after which nobody talks to who shows it. Reads the file.

        Raises:
            OSError: there is no certificate in the file.
        """
        return _certificate(self.cert_file, self.cert_file.read_bytes()).not_valid_after_utc

    def identities(self) -> frozenset[str]:
        """Return the URIs and the DNS names that the certificate carries. Reads the file.

        Raises:
            OSError: there is no certificate in the file.
        """
        from cryptography import x509

        extensions = _certificate(self.cert_file, _pem(self.cert_file)).extensions
        try:
            names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return frozenset()
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        return frozenset((*uris, *names.get_values_for_type(x509.DNSName)))

    def check(self) -> None:
        """Read the files as they are read when they are used.

        Raises:
            OSError: a file cannot be read, or the key does not belong to the certificate.
        """
        self._pair()
        _pem(self.ca_file)

    def warn(self, now: datetime) -> None:
        """Write to the log that the certificate has ended, or ends soon."""
        end = self.end()
        if end <= now:
            _LOG.error("the certificate %s ended at %s: every connection is refused", self.cert_file, end)
        elif end - now < _SOON:
            _LOG.warning("the certificate %s ends at %s and has not been renewed", self.cert_file, end)

    def server_credentials(self, *, require_client: bool = True) -> grpc.ServerCredentials:
        """Return credentials that follow the files, handshake by handshake.

        Services demand a client certificate; at the public edge an API key says who calls. Files that cannot be used
        are told of once, and what was shown before is shown until they can.

        Raises:
            OSError: they cannot be used to begin with.
        """
        shown, told = self.stamp(), ""

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal shown, told
            try:
                now = self.stamp()
                if now == shown:
                    return None
                configuration = self._configuration()
            except OSError as error:
                if str(error) != told:
                    told = str(error)
                    _LOG.warning("the certificate of before is still shown: %s", error)
                return None
            shown, told = now, ""
            return configuration

        return grpc.dynamic_ssl_server_credentials(
            self._configuration(), fetch, require_client_authentication=require_client
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Return credentials with the files as they are now.

        Raises:
            OSError: they cannot be used.
        """
        key, chain = self._pair()
        return grpc.ssl_channel_credentials(
            root_certificates=_pem(self.ca_file), private_key=key, certificate_chain=chain
        )

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([self._pair()], root_certificates=_pem(self.ca_file))

    def _pair(self) -> tuple[bytes, bytes]:
        """Return key and chain; of two that do not fit gRPC says no more than that it cannot listen."""
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        key, chain = _pem(self.key_file), _pem(self.cert_file)
        certificate = _certificate(self.cert_file, chain)
        try:
            own = load_pem_private_key(key, password=None).public_key()
        except (TypeError, ValueError) as error:
            raise OSError(f"tls.key_file {self.key_file} holds no private key without a password") from error
        if own != certificate.public_key():
            raise OSError(f"tls.key_file {self.key_file} does not belong to tls.cert_file {self.cert_file}")
        return key, chain


def _certificate(path: Path, text: bytes) -> "Certificate":
    """Return the first certificate of a file's text.

    Raises:
        OSError: there is none.
    """
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(text)
    except ValueError as error:
        raise OSError(f"{path} holds no certificate") from error


def _pem(path: Path) -> bytes:
    """Return a file; gRPC ends the whole process over one that is empty, or half written.

    Raises:
        OSError: it is.
    """
    text = path.read_bytes()
    if b"-----BEGIN " not in text or b"-----END " not in text:
        raise OSError(f"{path} is not a whole PEM file")
    return text
