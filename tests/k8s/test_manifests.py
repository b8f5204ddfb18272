"""What any cluster can say of the manifests without running them, and the rules that the project sets itself."""

import json
import re
from collections.abc import Iterator
from functools import cache

import kubernetes_validate
import pytest
from cloudcoil.models.cert_manager import v1 as cert_manager
from cloudcoil.models.prometheus_operator import v1 as prometheus_operator

from kube.manifests import NAME, port_number, selects
from memos_runtime.loading import load
from memos_wire.methods import CALLS, SERVICES
from memosctl.settings import Settings

KUBERNETES = ("1.33", "1.35", "1.37")
CUSTOM = {"cert-manager.io/v1": cert_manager, "monitoring.coreos.com/v1": prometheus_operator}
MADE_BY_A_COMMAND = {
    "ConfigMap": {"grant-public-key"},
    "Secret": {"grant-key", "postgres-env", "s3-env"}
    | {f"{name}-env" for name in ("governance", "storage", "scheduler", "inference")}
    | {f"{name}-tls" for name in SERVICES},
}


def containers(workload) -> Iterator[dict]:
    yield from workload.pod.get("initContainers", ())
    yield from workload.pod["containers"]


def own(rendered):
    return [each for each in rendered.workloads() if each.name in SERVICES]


@cache
def valid(document: str, version: str) -> None:
    """Check an object; most are the same in all combinations."""
    kubernetes_validate.validate(json.loads(document), version, strict=True)


@pytest.fixture
def configuration(rendered, tmp_path):
    """Return what gives the effective configuration of a service, without its secrets."""

    def of(workload) -> Settings:
        (name,) = (each["configMap"]["name"] for each in workload.pod["volumes"] if each["name"] == "config")
        file = tmp_path / "memos.toml"
        file.write_bytes(rendered.files("ConfigMap", name)["memos.toml"])
        env = {each["name"]: each["value"] for each in workload.pod["containers"][0]["env"]}
        assert env.pop("MEMOS_CONFIG") == "/etc/memos/config/memos.toml"
        return load(Settings, file=file, environ=env)

    return of


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_knows_every_field(rendered, version):
    for each in rendered.objects:
        if each["apiVersion"] not in CUSTOM:
            valid(json.dumps(each), version)


def test_custom_resources_have_only_fields_that_their_operators_know(rendered):
    for each in rendered.objects:
        if models := CUSTOM.get(each["apiVersion"]):
            read = getattr(models, each["kind"]).model_validate(each)
            assert read.model_dump(by_alias=True, exclude_unset=True, mode="json") == each


def test_whatever_is_referred_to_exists(rendered):
    for workload in rendered.workloads():
        wanted = [("ServiceAccount", workload.pod["serviceAccountName"])] if workload.name in SERVICES else []
        for volume in workload.pod.get("volumes", ()):
            if "configMap" in volume:
                wanted.append(("ConfigMap", volume["configMap"]["name"]))
            if "secret" in volume:
                wanted.append(("Secret", volume["secret"]["secretName"]))
        for container in containers(workload):
            wanted += [("Secret", each["secretRef"]["name"]) for each in container.get("envFrom", ())]
            mounted = {each["name"] for each in container.get("volumeMounts", ())}
            assert mounted <= {each["name"] for each in workload.pod.get("volumes", ())} | set(workload.claims)
        for kind, name in wanted:
            if name not in MADE_BY_A_COMMAND.get(kind, ()):
                rendered.get(kind, name)


def test_each_service_selects_its_pods_and_leads_to_a_port_that_they_have(rendered):
    workloads = rendered.workloads()
    for service in rendered.of("Service"):
        name, spec = service["metadata"]["name"], service["spec"]
        chosen = [each for each in workloads if selects({"matchLabels": spec["selector"]}, each.labels)]
        assert [each.name for each in chosen] == [name]
        for port in spec["ports"]:
            assert port_number(port["targetPort"], chosen[0].pod) is not None
        assert (spec.get("clusterIP") == "None") is (name in SERVICES and name != "interface")
    for name in SERVICES:
        rendered.get("Service", name)


def test_the_configuration_is_one_that_the_services_accept_and_its_ports_are_those_of_the_pods(rendered, configuration):
    for workload in own(rendered):
        settings = configuration(workload)
        ports = {each["name"]: each["containerPort"] for each in workload.pod["containers"][0]["ports"]}
        addresses = {
            "grpc": settings.server.address,
            "health": settings.server.health_address,
            "metrics": settings.telemetry.prometheus_address,
        }
        assert {name: int(address.rpartition(":")[2]) for name, address in addresses.items()} == ports
        assert set(settings.peers.addresses) == set(SERVICES) - {"interface"}
        for name, target in settings.peers.addresses.items():
            (port,) = rendered.get("Service", name)["spec"]["ports"]
            assert target == f"dns:///{name}:{port['port']}"


def test_probes_ask_for_what_the_services_answer(rendered):
    for workload in own(rendered):
        (container,) = workload.pod["containers"]
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        for kind, name in (("startupProbe", "live"), ("livenessProbe", "live"), ("readinessProbe", "")):
            asked = container[kind]["grpc"]
            assert (asked["port"], asked.get("service", "")) == (ports["health"], name)
        start = container["startupProbe"]
        assert start["periodSeconds"] * start["failureThreshold"] >= 300
        alive = container["livenessProbe"]
        assert alive["periodSeconds"] * alive["failureThreshold"] >= 60


def test_a_pod_gets_longer_to_end_than_it_takes(rendered, configuration):
    for workload in own(rendered):
        server = configuration(workload).server
        ready = workload.pod["containers"][0]["readinessProbe"]
        noticed = ready["periodSeconds"] * ready["failureThreshold"]
        assert server.drain_seconds >= noticed
        assert workload.pod["terminationGracePeriodSeconds"] >= server.drain_seconds + server.grace_seconds + 10


def test_every_container_is_restricted(rendered):
    for workload in rendered.workloads():
        shared = workload.pod["securityContext"]
        assert shared["runAsNonRoot"] is True
        assert shared["runAsUser"] > 0
        assert shared["seccompProfile"] == {"type": "RuntimeDefault"}
        assert workload.pod["automountServiceAccountToken"] is False
        assert workload.pod["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(workload.pod)
        assert not [volume for volume in workload.pod.get("volumes", ()) if "hostPath" in volume]
        for container in containers(workload):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context.get("readOnlyRootFilesystem", False) is (workload.name != "milvus")
            assert "privileged" not in context


def test_every_container_says_what_it_needs(rendered):
    for workload in rendered.workloads():
        for container in containers(workload):
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
            assert "cpu" not in container["resources"]["limits"]  # a throttled server is late for no reason


def test_every_image_has_a_version(rendered):
    for workload in rendered.workloads():
        for container in containers(workload):
            assert re.fullmatch(r"[a-z0-9./-]+(:[a-z0-9.-]*[0-9][a-z0-9.-]*|@sha256:[0-9a-f]{64})", container["image"])


def test_the_edges_of_the_network_are_those_of_the_call_graph(rendered):
    """Stores and the collector are not in the table; who may reach those is stated in the running test."""
    for name in SERVICES:
        spec = rendered.get("NetworkPolicy", name)["spec"]
        assert spec["podSelector"] == {"matchLabels": {NAME: name}}
        assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
        callees = {each["podSelector"]["matchLabels"][NAME] for rule in spec.get("egress", ()) for each in rule["to"]}
        assert callees == CALLS[name]
        if name == "interface":
            assert spec["ingress"] == [{"ports": [{"port": "grpc"}]}]
            continue
        callers = {each["podSelector"]["matchLabels"][NAME] for rule in spec["ingress"] for each in rule["from"]}
        assert callers == {other for other in SERVICES if name in CALLS[other]}
        assert all(rule["ports"] == [{"port": "grpc"}] for rule in spec["ingress"])


def test_everything_else_is_denied(rendered):
    assert rendered.get("NetworkPolicy", "deny-all")["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
    }


def test_a_disruption_leaves_somebody_to_answer(rendered):
    for workload in own(rendered):
        budget = rendered.get("PodDisruptionBudget", workload.name)["spec"]
        assert selects(budget["selector"], workload.labels)
        assert budget["maxUnavailable"] == 1
        assert "minAvailable" not in budget
        scaled = [
            each["spec"]
            for each in rendered.of("HorizontalPodAutoscaler")
            if each["spec"]["scaleTargetRef"]["name"] == workload.name
        ]
        for spec in scaled:
            assert spec["scaleTargetRef"]["kind"] == workload.object["kind"]
            assert spec["maxReplicas"] > spec["minReplicas"] >= 2
            assert "replicas" not in workload.object["spec"], "applying the manifests would undo the autoscaler"
        if "single-replica" not in str(rendered) and not str(rendered).startswith("dev"):
            assert scaled


def test_replicas_are_spread_over_nodes(rendered):
    for workload in own(rendered):
        (spread,) = workload.pod["topologySpreadConstraints"]
        assert selects(spread["labelSelector"], workload.labels)
        assert spread["matchLabelKeys"] == [NAME]


def test_no_pod_keeps_anything_but_copies(rendered):
    for workload in own(rendered):
        kinds = {key for volume in workload.pod["volumes"] for key in volume if key != "name"}
        assert kinds <= {"configMap", "secret", "emptyDir"}
        assert workload.claims == (["state"] if workload.name == "inference" else [])


def test_no_secret_stands_in_the_manifests(rendered):
    assert not rendered.of("Secret")
    for workload in rendered.workloads():
        for container in containers(workload):
            for each in container.get("env", ()):
                assert not re.search("password|secret|token|_key$|database_url", each["name"], re.IGNORECASE)
    for each in rendered.of("ConfigMap"):
        for name in each["data"]:
            text = rendered.files("ConfigMap", each["metadata"]["name"])[name].decode()
            assert "PRIVATE KEY" not in text
            assert not re.search(r"://[^/\s]*:[^/\s@]+@", text)


def test_a_service_sees_the_secrets_of_no_other(rendered):
    for workload in own(rendered):
        named = {
            each["secretRef"]["name"] for container in containers(workload) for each in container.get("envFrom", ())
        }
        named |= {each["secret"]["secretName"] for each in workload.pod["volumes"] if "secret" in each}
        allowed = {f"{workload.name}-env", f"{workload.name}-tls"}
        assert named <= allowed | ({"grant-key"} if workload.name == "governance" else set())
