"""What is read from rendered manifests."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]

NAME = "app.kubernetes.io/name"


@dataclass(frozen=True)
class Workload:
    """A Deployment or a StatefulSet.

    Attributes:
        object: as rendered.
        replicas: how many pods it asks for: of its autoscaler at least, else its own number.
    """

    object: Object
    replicas: int

    @property
    def name(self) -> str:
        return self.object["metadata"]["name"]

    @property
    def labels(self) -> Mapping[str, str]:
        return self.object["spec"]["template"]["metadata"]["labels"]

    @property
    def pod(self) -> Object:
        return self.object["spec"]["template"]["spec"]

    @property
    def claims(self) -> list[str]:
        return [claim["metadata"]["name"] for claim in self.object["spec"].get("volumeClaimTemplates", ())]


class Manifests:
    """Objects by kind and name."""

    def __init__(self, objects: Iterable[Object]) -> None:
        self.objects = [item for each in objects if each for item in each.get("items", [each])]

    def of(self, kind: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] == kind]

    def get(self, kind: str, name: str) -> Object:
        for each in self.of(kind):
            if each["metadata"]["name"] == name:
                return each
        raise LookupError(f"the manifests refer to {kind} {name}, which nobody makes")

    def workloads(self) -> list[Workload]:
        least = {
            each["spec"]["scaleTargetRef"]["name"]: each["spec"]["minReplicas"]
            for each in self.of("HorizontalPodAutoscaler")
        }
        return [
            Workload(each, least.get(each["metadata"]["name"], each["spec"].get("replicas", 1)))
            for each in (*self.of("Deployment"), *self.of("StatefulSet"))
        ]

    def workload(self, name: str) -> Workload:
        return next(each for each in self.workloads() if each.name == name)

    def files(self, kind: str, name: str) -> dict[str, bytes]:
        """Return what a ConfigMap or Secret holds."""
        found = self.get(kind, name)
        plain = {key: text.encode() for key, text in found.get("stringData", {}).items()}
        data = found.get("data", {})
        coded = {key: base64.b64decode(text) if kind == "Secret" else text.encode() for key, text in data.items()}
        return {**coded, **plain}


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether a label selector selects."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_meets(each, labels) for each in selector.get("matchExpressions", ()))


def _meets(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    raise ValueError(expression["operator"])


def port_number(port: int | str, pod: Object) -> int | None:
    """Return the number of a port of a pod that is given by number or by name; None if the pod has no such name."""
    if isinstance(port, int):
        return port
    for container in pod["containers"]:
        for listed in container.get("ports", ()):
            if listed.get("name") == port:
                return listed["containerPort"]
    return None
