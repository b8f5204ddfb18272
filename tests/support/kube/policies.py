"""NetworkPolicies as rules of nftables.

A packet passes if its sender's policies let it out and its receiver's let it in; a pod that no policy of a direction
selects is open in that direction. Policies see addresses behind Services, that is, those of pods.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kube.manifests import Object, port_number, selects


@dataclass(frozen=True)
class Place:
    """A pod as policies see it."""

    address: str
    namespace: str
    labels: Mapping[str, str]
    spec: Object


def rules(policies: Sequence[Object], places: Sequence[Place], namespaces: Mapping[str, Mapping[str, str]]) -> str:
    """Return the chains `egress` and `ingress`; what ends in neither may pass."""
    made = _Rules(policies, places, namespaces)
    egress = "\n".join(line for place in places for line in made.direction(place, "Egress"))
    ingress = "\n".join(line for place in places for line in made.direction(place, "Ingress"))
    return f"""
chain egress {{
{egress}
goto ingress
}}
chain ingress {{
{ingress}
accept
}}"""


@dataclass(frozen=True)
class _Rules:
    policies: Sequence[Object]
    places: Sequence[Place]
    namespaces: Mapping[str, Mapping[str, str]]

    def direction(self, place: Place, kind: str) -> Iterator[str]:
        own, other, verdict = ("saddr", "daddr", "goto ingress") if kind == "Egress" else ("daddr", "saddr", "accept")
        applied = [each for each in self.policies if self._applies(each, place, kind)]
        if not applied:
            return
        for policy in applied:
            for rule in policy["spec"].get(kind.lower(), ()):
                for peers, target in self._peers(rule, policy, place, kind):
                    for match in self._ports(rule, target):
                        yield f"ip {own} {place.address} {_among(other, peers)} {match} {verdict}"
        yield f"ip {own} {place.address} meta l4proto tcp reject with tcp reset"
        yield f"ip {own} {place.address} reject with icmp type admin-prohibited"

    def _applies(self, policy: Object, place: Place, kind: str) -> bool:
        spec = policy["spec"]
        kinds = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
        same = policy["metadata"]["namespace"] == place.namespace
        return kind in kinds and same and selects(spec["podSelector"], place.labels)

    def _peers(
        self, rule: Object, policy: Object, place: Place, kind: str
    ) -> Iterator[tuple[str | None, Place | None]]:
        """Return addresses of the other side (None: any), each with the pod whose ports are meant."""
        listed = rule.get("to" if kind == "Egress" else "from")
        if not listed:
            yield None, place if kind == "Ingress" else None
            return
        for peer in listed:
            if block := peer.get("ipBlock"):
                excepted = "".join(
                    f" ip {'daddr' if kind == 'Egress' else 'saddr'} != {each}" for each in block.get("except", ())
                )
                yield f"{block['cidr']}{excepted}", place if kind == "Ingress" else None
                continue
            for found in self._pods(peer, policy["metadata"]["namespace"]):
                yield found.address, place if kind == "Ingress" else found

    def _pods(self, peer: Object, namespace: str) -> Iterable[Place]:
        spaces = {namespace}
        if "namespaceSelector" in peer:
            spaces = {name for name, labels in self.namespaces.items() if selects(peer["namespaceSelector"], labels)}
        wanted = peer.get("podSelector", {})
        return [each for each in self.places if each.namespace in spaces and selects(wanted, each.labels)]

    def _ports(self, rule: Object, target: Place | None) -> Iterator[str]:
        if not rule.get("ports"):
            yield ""
            return
        for port in rule["ports"]:
            number = port["port"] if target is None else port_number(port["port"], target.spec)
            if isinstance(number, int):
                yield f"{port.get('protocol', 'TCP').lower()} dport {number}"


def _among(direction: str, peers: str | None) -> str:
    return "" if peers is None else f"ip {direction} {peers}"
