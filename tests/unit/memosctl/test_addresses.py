import socket

import pytest

from memosctl import addresses
from memosctl.failures import Failure


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "localhost:7070", "[::1]:7070", "unix:/run/x.sock", "dns:///localhost:1"]
)
def test_what_stays_on_this_machine_is_loopback(address: str) -> None:
    assert addresses.is_loopback(address)


@pytest.mark.parametrize("address", ["0.0.0.0:1", "10.0.0.7:7070", "dns:///storage:7600", "[::]:7070"])
def test_everything_else_is_not(address: str) -> None:
    assert not addresses.is_loopback(address)


def test_several_services_take_consecutive_ports() -> None:
    assert addresses.shifted("127.0.0.1:7600", 2) == "127.0.0.1:7602"
    assert addresses.shifted("[::1]:7600", 1) == "[::1]:7601"
    assert addresses.shifted("127.0.0.1:0", 2) == "127.0.0.1:0"
    assert addresses.shifted("", 2) == ""


@pytest.mark.parametrize("address", ["7070", ":7070", "host:", "host:x", "host:70000"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(Failure):
        addresses.split(address)


def test_an_address_that_is_taken_is_refused_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(Failure, match="in use"):
            addresses.require_free(address)

    addresses.require_free(address)
