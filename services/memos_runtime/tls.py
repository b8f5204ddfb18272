"""Mutual TLS between the services. Certificates are read again when their files change."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import grpc

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
            OSError, ValueError: there is no certificate in the file.
        """
        from cryptography import x509

        return x509.load_pem_x509_certificate(self.cert_file.read_bytes()).not_valid_after_utc

    def warn(self, now: datetime) -> None:
        """Write to the log that the certificate has ended, or ends soon."""
        end = self.end()
        if end <= now:
            _LOG.error("the certificate %s ended at %s: every connection is refused", self.cert_file, end)
        elif end - now < _SOON:
            _LOG.warning("the certificate %s ends at %s and has not been renewed", self.cert_file, end)

    def server_credentials(self, *, require_client: bool = True) -> grpc.ServerCredentials:
        """Return credentials that follow the files, handshake by handshake.

        Services demand a client certificate; at the public edge an API key says who calls.
        """
        shown = self.stamp()

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal shown
            now = self.stamp()
            if now == shown:
                return None
            configuration = self._configuration()
            shown = now
            return configuration

        return grpc.dynamic_ssl_server_credentials(
            self._configuration(), fetch, require_client_authentication=require_client
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Return credentials with the files as they are now."""
        return grpc.ssl_channel_credentials(
            root_certificates=_pem(self.ca_file),
            private_key=_pem(self.key_file),
            certificate_chain=_pem(self.cert_file),
        )

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        pair = (_pem(self.key_file), _pem(self.cert_file))
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=_pem(self.ca_file))


def _pem(path: Path) -> bytes:
    """Return a file; gRPC ends the whole process over one that is empty, or half written.

    Raises:
        OSError: it is.
    """
    text = path.read_bytes()
    if b"-----BEGIN " not in text or b"-----END " not in text:
        raise OSError(f"{path} is not a whole PEM file")
    return text
