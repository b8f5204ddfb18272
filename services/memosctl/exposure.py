"""What may be said in plain text, and to whom: checked before anything is made or started."""

from collections.abc import Sequence

from memos_runtime.channels import server_name
from memos_runtime.tls import Certificates
from memos_wire.methods import CALLS, INTERFACE
from memosctl import addresses
from memosctl.certificates import spiffe_id
from memosctl.failures import Failure, usage
from memosctl.settings import Settings


def check_up(settings: Settings) -> None:
    """Refuse to take API keys in plain text from other machines, and TLS without all of its files, or with others.

    Raises:
        Failure: that is what the configuration asks for.
    """
    if (certificates := addresses.certificates_of(settings.tls, INTERFACE)) is not None:
        _check_files(certificates)
        return
    if settings.tls.client_certificates:
        raise usage("tls.client_certificates needs tls.cert_file, tls.key_file and tls.ca_file.")
    if not settings.allow_plaintext:
        addresses.require_loopback(settings.server.address, why="API keys would be sent in plain text")


def check_serve(settings: Settings, names: Sequence[str]) -> None:
    """Refuse services that cannot know each other, by their certificates too, or would tell their secret elsewhere.

    Raises:
        Failure: that is what the configuration asks for.
    """
    if INTERFACE in names:
        check_up(settings)
    shown = {name: addresses.certificates_of(settings.tls, name) for name in names}
    for name, certificates in shown.items():
        if certificates is not None:
            _check_identity(name, certificates)
    if any(shown.values()):
        return
    if not settings.peers.token.get_secret_value():
        raise usage(
            "Services in several processes need a way to know each other.",
            "Set tls.cert_file, tls.key_file and tls.ca_file; on one machine peers.token will do.",
        )
    own = [settings.server.address] if set(names) - {INTERFACE} else []
    dialled = settings.peers.addresses.values()  # those of the services served here too: each calls the others there
    addresses.require_loopback(*own, *dialled, why="peers.token is sent in plain text")


def _check_files(certificates: Certificates) -> None:
    """Refuse files that cannot be used, before a port is taken over them."""
    try:
        certificates.check()
    except OSError as error:
        said = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise Failure(
            f"TLS cannot be used: {said}.",
            "Set tls.cert_file, tls.key_file and tls.ca_file to what was issued together; memosctl certs makes some to"
            " try.",
            reason="CERTIFICATE_INVALID",
            exit_code=2,
        ) from error


def _check_identity(service: str, certificates: Certificates) -> None:
    """Refuse a certificate that no other service would accept from this one; it would serve, and never be called.

    Services that call others are known by their URI, those that others call by their DNS name. One that several
    services share can do for some of them.
    """
    _check_files(certificates)
    carried = certificates.identities()
    needed = [spiffe_id(service)] if CALLS[service] else []
    if service != INTERFACE and "*.memos" not in carried:
        needed.append(server_name(service))
    if missing := [name for name in needed if name not in carried]:
        raise Failure(
            f"tls.cert_file {certificates.cert_file} is not a certificate of {service}: it does not carry"
            f" {' and '.join(missing)}, so no other service accepts it.",
            "Give each service its own; {service} in the paths of [tls] stands for its name.",
            reason="CERTIFICATE_INVALID",
            exit_code=2,
        )
