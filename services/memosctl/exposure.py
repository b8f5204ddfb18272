"""What may be said in plain text, and to whom: checked before anything is made or started."""

from collections.abc import Sequence

from memos_wire.methods import INTERFACE
from memosctl import addresses
from memosctl.failures import usage
from memosctl.settings import Settings


def check_up(settings: Settings) -> None:
    """Refuse to take API keys in plain text from other machines, and TLS without all of its files.

    Raises:
        Failure: that is what the configuration asks for.
    """
    if addresses.certificates_of(settings.tls, INTERFACE) is not None:
        return
    if settings.tls.client_certificates:
        raise usage("tls.client_certificates needs tls.cert_file, tls.key_file and tls.ca_file.")
    if not settings.allow_plaintext:
        addresses.require_loopback(settings.server.address, why="API keys would be sent in plain text")


def check_serve(settings: Settings, names: Sequence[str]) -> None:
    """Refuse services that cannot know each other, or would tell their secret to other machines.

    Raises:
        Failure: that is what the configuration asks for.
    """
    if INTERFACE in names:
        check_up(settings)
    if addresses.certificates_of(settings.tls, names[0]) is not None:
        return
    if not settings.peers.token.get_secret_value():
        raise usage(
            "Services in several processes need a way to know each other.",
            "Set tls.cert_file, tls.key_file and tls.ca_file; on one machine peers.token will do.",
        )
    own = [settings.server.address] if set(names) - {INTERFACE} else []
    dialled = settings.peers.addresses.values()  # those of the services served here too: each calls the others there
    addresses.require_loopback(*own, *dialled, why="peers.token is sent in plain text")
