"""The network of a simulated cluster, which others on the same machine must not disturb."""

import os
import shutil
import socket
import subprocess

import pytest

from kube.network import Network, inside

TOOLS = ("ip", "nft", "nsenter")

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, TOOLS)),
    reason=f"needs root, for network namespaces, and {', '.join(TOOLS)}",
)


def left(network: Network) -> list[str]:
    """Return what this machine has of a network."""
    told = "".join(
        subprocess.run(["ip", *what], check=True, capture_output=True, text=True).stdout
        for what in (("netns", "list"), ("-o", "link"), ("route",))
    )
    return [line for line in told.splitlines() if network.name in line]


def connect(network: Network, pod: str, address: str) -> None:
    """Reach a pod from this machine; raises if that cannot be done."""

    def listen() -> socket.socket:
        made = socket.create_server((address, 0))
        made.settimeout(5)
        return made

    listening = inside(network.namespace(pod), listen)
    with listening, socket.create_connection(listening.getsockname(), timeout=5):
        listening.accept()[0].close()


def test_two_networks_run_side_by_side():
    with Network() as one, Network() as other:
        for network in (one, other):
            network.apply([], "chain egress {\n}", {})
            connect(network, "web", network.attach("web"))
    assert left(one) == left(other) == []


def test_what_cannot_be_made_leaves_nothing_behind():
    with Network() as one:
        other = Network(addresses=one.addresses)
        with pytest.raises(RuntimeError, match="File exists"):
            other.__enter__()
        assert left(other) == []
        assert left(one) != []
