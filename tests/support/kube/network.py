"""The network of a cluster: a namespace a pod, a router between them with Services and policies, and DNS.

This machine is the node: it reaches pods and Services through the router, as a kubelet and clients from outside do.
"""

import ctypes
import ipaddress
import json
import random
import socket
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import dnslib

T = TypeVar("T")

_CLUSTERS = [ipaddress.ip_network(f"10.{number}.0.0/16") for number in range(200, 250)]
"""What a cluster takes its addresses from; each has one of them for itself."""

_CLONE_NEWNET = 0x40000000
_TTL_SECONDS = 5
_LIBC = ctypes.CDLL(None, use_errno=True)


def run(*command: str, text: str | None = None, check: bool = True) -> str:
    ran = subprocess.run(command, input=text, text=True, capture_output=True)
    if check and ran.returncode:
        raise RuntimeError(f"{' '.join(command)}: {ran.stderr}{text or ''}")
    return ran.stdout


def inside(namespace: str, body: Callable[[], T]) -> T:
    """Run something in a network namespace; sockets that it makes stay there."""
    answer: list[T] = []
    failures: list[BaseException] = []

    def enter() -> None:
        try:
            with Path(f"/run/netns/{namespace}").open() as handle:
                if _LIBC.setns(handle.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            answer.append(body())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return answer[0]


@dataclass(frozen=True)
class ServiceAddress:
    """A Service: its address, or None if it is headless, and what each of its ports leads to."""

    name: str
    address: str | None
    ports: Mapping[int, Sequence[tuple[str, int]]]
    pods: Sequence[str]


@dataclass(frozen=True)
class Addresses:
    """The half of a block that is for pods, ending with this machine and the router, and the half for Services."""

    pods: ipaddress.IPv4Network
    services: ipaddress.IPv4Network

    @classmethod
    def unused(cls) -> "Addresses":
        """Choose a block that nothing on this machine leads to: other clusters may run here, or have been killed."""
        routes = json.loads(run("ip", "-j", "route", "show", "table", "all"))
        taken = [ipaddress.ip_network(each["dst"]) for each in routes if each["dst"].startswith("10.")]
        free = [block for block in _CLUSTERS if not any(map(block.overlaps, taken))]
        if not free:
            raise RuntimeError(f"all blocks of {_CLUSTERS[0]} to {_CLUSTERS[-1]} are in use; see `ip route`")
        return cls(*random.choice(free).subnets())

    @property
    def node(self) -> str:
        return str(self.pods[-3])

    @property
    def router(self) -> str:
        return str(self.pods[-2])

    @property
    def dns(self) -> str:
        return self.service(10)

    def pod(self, number: int) -> str:
        return str(self.pods[number])

    def service(self, number: int) -> str:
        return str(self.services[number])


@dataclass
class Network:
    """Made when it is entered; gone when it is left."""

    name: str = field(default_factory=lambda: f"mk{uuid.uuid4().hex[:5]}")
    addresses: Addresses = field(default_factory=Addresses.unused)
    _pods: dict[str, str] = field(default_factory=dict)
    _next: int = 1
    _names: dict[str, list[str]] = field(default_factory=dict)
    _dns: socket.socket | None = None

    def __enter__(self) -> "Network":
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make(self) -> None:
        router, own = self.router, self.addresses
        run("ip", "netns", "add", router)
        run("ip", "netns", "exec", router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        run("ip", "-n", router, "link", "set", "lo", "up")
        run("ip", "link", "add", self._node_side, "type", "veth", "peer", "name", "node", "netns", router)
        run("ip", "addr", "add", f"{own.node}/30", "dev", self._node_side)
        run("ip", "link", "set", self._node_side, "up")
        run("ip", "-n", router, "addr", "add", f"{own.router}/30", "dev", "node")
        run("ip", "-n", router, "link", "set", "node", "up")
        for block in (own.pods, own.services):
            run("ip", "route", "add", str(block), "via", own.router)
        self.attach("dns")
        self._dns = inside(f"{self.name}-dns", lambda: _bound(socket.SOCK_DGRAM, 53))
        threading.Thread(target=self._answer_names, args=(self._dns,), daemon=True).start()

    def __exit__(self, *_: object) -> None:
        if self._dns is not None:
            self._dns.close()
        for pod in list(self._pods):
            self.detach(pod)
        run("ip", "link", "del", self._node_side, check=False)
        run("ip", "netns", "del", self.router, check=False)

    @property
    def router(self) -> str:
        return f"{self.name}-router"

    @property
    def _node_side(self) -> str:
        return f"{self.name}n"

    @property
    def dns_pod(self) -> str:
        """Address of the pod that answers names."""
        return self._pods["dns"]

    def namespace(self, pod: str) -> str:
        return f"{self.name}-{pod}"

    def entering(self, pod: str) -> list[str]:
        """Return the beginning of a command that runs in the network of a pod."""
        return ["nsenter", f"--net=/run/netns/{self.namespace(pod)}"]

    def attach(self, pod: str) -> str:
        """Make the namespace of a pod; return its address."""
        number, self._next = self._next, self._next + 1
        address, namespace, port = self.addresses.pod(number), self.namespace(pod), f"p{number}"
        run("ip", "netns", "add", namespace)
        self._pods[pod] = address
        run("ip", "-n", self.router, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        run("ip", "-n", namespace, "addr", "add", f"{address}/32", "dev", "eth0")
        for each in ("lo", "eth0"):
            run("ip", "-n", namespace, "link", "set", each, "up")
        self._lead_out(namespace)
        run("ip", "-n", self.router, "link", "set", port, "up")
        run("ip", "-n", self.router, "route", "add", f"{address}/32", "dev", port)
        return address

    def detach(self, pod: str) -> None:
        """Remove the namespace of a pod; what runs in it must have ended."""
        if self._pods.pop(pod, None):
            run("ip", "netns", "del", self.namespace(pod), check=False)

    def cut(self, pod: str) -> None:
        """Let nothing of a pod through any more, in either direction, without telling anybody."""
        run("ip", "-n", self.namespace(pod), "link", "set", "eth0", "down")

    def mend(self, pod: str) -> None:
        """Undo `cut`."""
        namespace = self.namespace(pod)
        run("ip", "-n", namespace, "link", "set", "eth0", "up")
        self._lead_out(namespace)

    def _lead_out(self, namespace: str) -> None:
        router = self.addresses.router
        run("ip", "-n", namespace, "route", "replace", router, "dev", "eth0", "scope", "link")
        run("ip", "-n", namespace, "route", "replace", "default", "via", router)

    def apply(self, services: Iterable[ServiceAddress], policies: str, names: Mapping[str, list[str]]) -> None:
        """Put Services, policies and names in force, all at once."""
        self._names = dict(names)
        lines = [line for each in services if each.address for line in _translations(each)]
        run(
            "ip", "netns", "exec", self.router, "nft", "-f", "-",
            text=f"""
table ip kube {{}}
delete table ip kube
table ip kube {{
{policies}
chain forward {{
type filter hook forward priority 0; policy accept;
ct state established,related accept
ip saddr {self.addresses.node} accept
goto egress
}}
chain services {{
type nat hook prerouting priority -100; policy accept;
{chr(10).join(lines)}
}}
chain nobody {{
type filter hook prerouting priority 0; policy accept;
ip daddr {self.addresses.services} meta l4proto tcp reject with tcp reset
ip daddr {self.addresses.services} reject with icmp type port-unreachable
}}
}}
""",
        )  # fmt: skip

    def _answer_names(self, listening: socket.socket) -> None:
        while True:
            try:
                asked, caller = listening.recvfrom(4096)
            except OSError:
                return
            request = dnslib.DNSRecord.parse(asked)
            answer = request.reply()
            name = str(request.q.qname).rstrip(".").lower()
            if name not in self._names:
                answer.header.rcode = dnslib.RCODE.NXDOMAIN
            elif request.q.qtype == dnslib.QTYPE.A:
                for address in self._names[name]:
                    answer.add_answer(dnslib.RR(request.q.qname, rdata=dnslib.A(address), ttl=_TTL_SECONDS))
            listening.sendto(answer.pack(), caller)


def resolv_conf(namespace: str, server: str) -> str:
    """Return what a kubelet writes into a pod's /etc/resolv.conf, given the address of the DNS server."""
    search = " ".join(f"{each}cluster.local" for each in (f"{namespace}.svc.", "svc.", ""))
    return f"search {search}\nnameserver {server}\noptions ndots:5\n"


def _bound(kind: int, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind)
    made.bind(("0.0.0.0", port))
    return made


def _translations(service: ServiceAddress) -> Iterable[str]:
    """Spread connections over the pods of a Service, as kube-proxy does; what has no pod is refused by `nobody`."""
    for port, targets in service.ports.items():
        protocol = "udp" if port == 53 else "tcp"
        match = f"ip daddr {service.address} {protocol} dport {port}"
        for left, (address, number) in zip(range(len(targets), 0, -1), targets, strict=True):
            yield f"{match} numgen random mod {left} == 0 dnat to {address}:{number}"
