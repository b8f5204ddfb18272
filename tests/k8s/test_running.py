"""The overlay `dev`, run as a cluster would run it: each container a process of its user in its own network."""

import errno
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from deployment import Deployment
from kube.network import inside
from kube.trial import trial
from kubectl import K8S
from memos_wire.methods import CALLS, SERVICES

READY_SECONDS = 240
ROOT = K8S.parent
STORES = {"postgres": {"governance", "storage", "scheduler"}, "milvus": {"storage"}, "s3": {"storage", "inference"}}
TOOLS = ("ip", "nft", "nsenter", "setpriv", "unshare")
FAST_SWEEPS = {"MEMOS_SCHEDULER__SWEEP_SECONDS": "1", "MEMOS_SCHEDULER__VAULT_SWEEP_SECONDS": "1"}
REFUSED = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.EACCES}

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, TOOLS)),
    reason=f"needs root, for network namespaces, and {', '.join(TOOLS)}",
)


@pytest.fixture(scope="module")
def cluster():
    with trial(env={"scheduler": FAST_SWEEPS}) as running:
        running.wait_ready(READY_SECONDS)
        yield running


@pytest.fixture(scope="module")
def system(cluster, tmp_path_factory) -> Deployment:
    """The public API as somebody outside of the cluster reaches it."""
    found = Deployment.outside(tmp_path_factory.mktemp("cluster") / "outside", cluster)
    found.wait()  # storage is ready without Milvus, which takes longer to start
    return found


def reaches(cluster, pod, address: str, port: int) -> bool:
    """Return whether a pod gets through; nothing may hang."""

    def connect() -> bool:
        try:
            socket.create_connection((address, port), timeout=5).close()
        except OSError as error:
            assert error.errno in REFUSED, error
            return False
        return True

    return inside(cluster.network.namespace(pod.name), connect)


def trouble(pod) -> list[str]:
    """Return what happened to a pod beside that it became ready, or was too busy for a probe."""
    return [event for event in pod.events if event not in ("ready", "not ready")]


def expressions() -> Iterator[str]:
    """Return every expression of the alerts, the dashboard and the autoscalers."""
    folder = K8S / "components"
    for group in yaml.safe_load((folder / "monitoring" / "rules.yaml").read_text())["spec"]["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    board = json.loads((folder / "monitoring" / "memos.json").read_text())
    yield from (target["expr"] for panel in board["panels"] for target in panel["targets"])
    for patch in yaml.safe_load((folder / "queue-autoscaling" / "kustomization.yaml").read_text())["patches"]:
        (added,) = yaml.safe_load(patch["patch"])
        yield added["value"][added["value"]["type"].lower()]["metric"]["name"]


def metrics_of(expression: str) -> set[str]:
    """Return the metrics that an expression of Prometheus reads."""
    found: set[str] = set()

    def look(node: object) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.add(node.name)

    promql_parser.walk(promql_parser.parse(expression), pre_visit=look)
    return found


def status(pod) -> dict[str, str]:
    text = Path(f"/proc/{pod.containers[0].pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def test_every_pod_becomes_ready_and_none_is_restarted(cluster):
    assert {pod.workload.name for pod in cluster.pods.values()} == {*SERVICES, *STORES}
    for pod in cluster.pods.values():
        assert trouble(pod) == [], pod.log()


def test_processes_are_nobody_and_hold_no_rights(cluster):
    for pod in cluster.pods.values():
        found = status(pod)
        assert found["Uid"].split()[0] == str(pod.workload.pod["securityContext"]["runAsUser"]), pod.name
        assert {found[name].strip("0") for name in ("CapPrm", "CapEff", "CapBnd")} == {""}, pod.name
        assert found["NoNewPrivs"] == "1", pod.name


def test_they_need_no_more_memory_than_they_ask_for(cluster):
    for service in SERVICES:
        for pod in cluster.of(service):
            used = int(status(pod)["VmHWM"].split()[0]) // 1024
            asked = re.fullmatch(r"(\d+)(Mi|Gi)", pod.containers[0].spec["resources"]["requests"]["memory"])
            assert used <= int(asked[1]) * (1024 if asked[2] == "Gi" else 1), f"{pod.name} used {used} MiB"


def test_only_the_edges_of_the_call_graph_are_open(cluster):
    """Of every pod to every port that another one has."""
    (interface,) = cluster.of("interface")
    for pod in cluster.pods.values():
        caller = pod.workload.name
        for other in cluster.pods.values():
            callee = other.workload.name
            if other is pod:
                continue
            for listed in other.workload.pod["containers"][0]["ports"]:
                wanted = listed["name"] == "grpc" and callee in CALLS.get(caller, ())
                wanted |= callee in STORES and listed["name"] == callee and caller in STORES[callee]
                got = reaches(cluster, pod, other.address, listed["containerPort"])
                assert got is wanted, f"{caller} -> {callee}:{listed['name']}"
    assert not reaches(cluster, interface, cluster.network.addresses.node, 22), "a pod gets out of the cluster"


def test_clients_reach_the_public_api_and_nothing_else_has_an_address(cluster, system):
    assert "hits" in json.loads(system.memosctl("search", "anything", "--json").stdout)
    for name in set(SERVICES) - {"interface"}:
        assert cluster.manifests.get("Service", name)["spec"]["clusterIP"] == "None"


def test_names_lead_to_pods(cluster):
    (pod,) = cluster.of("interface")
    for name in (*SERVICES, "storage.memos", "storage.memos.svc.cluster.local"):
        ran = cluster.execute(pod.name, "getent", "ahostsv4", name)
        wanted = cluster.address("interface").partition(":")[0] if name == "interface" else None
        assert ran.stdout.split()[0] == (wanted or cluster.of(name.partition(".")[0])[0].address)


def test_the_end_to_end_tests_pass_there(cluster, system, tmp_path):
    found = tmp_path / "system.json"
    found.write_text(
        json.dumps({"state": str(system.state), "address": system.address, "authority": str(system.authority)})
    )
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
        + [str(ROOT / "tests" / "e2e" / name) for name in ("test_memory_loop.py", "test_refusals.py")],
        cwd=ROOT,
        env={**os.environ, "SYSTEM_UNDER_TEST": str(found)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + cluster.log()
    passed = re.search(r"(\d+) passed", ran.stdout)
    assert passed is not None
    assert int(passed[1]) >= 30
    assert "skipped" not in ran.stdout


def test_what_dashboards_and_alerts_ask_for_is_measured(cluster, system):
    for command in (["add", "A lark sings."], ["search", "lark"], ["chat", "What sings?"]):
        system.memosctl(*command)
    measured: set[str] = set()
    for service in SERVICES:
        (pod,) = cluster.of(service)
        with urllib.request.urlopen(f"http://{pod.address}:7072/metrics", timeout=10) as page:
            for family in text_string_to_metric_families(page.read().decode()):
                measured |= {family.name, *(sample.name for sample in family.samples)}
    asked = {name: expression for expression in expressions() for name in metrics_of(expression)}
    assert len(asked) > 15
    assert {name: expression for name, expression in asked.items() if name not in measured} == {}


def test_no_log_holds_a_secret(cluster):
    texts = "".join(container.log() for pod in cluster.pods.values() for container in (*pod.first, *pod.containers))
    for secret in cluster.manifests.of("Secret"):
        for name, value in secret["stringData"].items():
            if name not in ("POSTGRES_USER", "POSTGRES_DB", "tls.crt", "ca.crt"):
                for line in value.strip().splitlines():
                    if not line.startswith("-----"):  # the same in all keys
                        assert line not in texts, f"{secret['metadata']['name']}: {name}"


def test_all_pods_end_in_time_and_those_that_follow_know_what_they_knew(cluster, system):
    """All at once, as when a machine is shut down."""
    system.memosctl("add", "The tram to the harbour leaves from platform nine.")
    pods = [pod for service in SERVICES for pod in cluster.of(service)]
    with ThreadPoolExecutor(len(pods)) as all_at_once:
        ended = list(all_at_once.map(lambda pod: cluster.delete_pod(pod.name), pods))
    for pod, codes in zip(pods, ended, strict=True):
        assert codes == {"service": 0}, pod.log()
        assert trouble(pod) == [], pod.log()
    for pod in pods:
        cluster.add_pod(pod.workload, 0)
    cluster.wait_ready(READY_SECONDS)
    system.wait()
    found = json.loads(system.memosctl("search", "where does the tram leave?", "--json").stdout)
    assert found["hits"][0]["cube"]["plaintext"]["text"].endswith("platform nine.")
