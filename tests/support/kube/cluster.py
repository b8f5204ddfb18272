"""All of it: manifests in, a running system out."""

import contextlib
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from kube import policies, volumes
from kube.containers import Container
from kube.images import ROOT, image
from kube.manifests import Manifests, Object, Workload, port_number, selects
from kube.network import Network, ServiceAddress, resolv_conf, run
from kube.pods import Pod, variables

_DNS_LABELS = {"k8s-app": "kube-dns"}


class Cluster:
    """Runs while it is entered."""

    def __init__(
        self,
        objects: Iterable[Object],
        *,
        namespace: str = "memos",
        env: Mapping[str, Mapping[str, str]] | None = None,
        replicas: Mapping[str, int] | None = None,
        tree: Path = ROOT,
    ) -> None:
        """Take rendered objects, what to change of workloads, and the tree of the release that images are built from.

        Workloads are changed as `kubectl set env` and `kubectl scale` would.
        """
        self._env = env or {}
        self._replicas = replicas or {}
        self.manifests = Manifests(objects)
        self.tree = tree
        self.namespace = namespace
        self.network = Network()
        self.folder = Path(tempfile.mkdtemp(prefix="memos-kube-"))
        self.pods: dict[str, Pod] = {}
        self._made = 0
        self._images = self.folder / "images"
        self._layers: dict[tuple[str, Path], Path] = {}
        self._services: dict[str, str] = {}
        self._number_services()
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        self._images.mkdir()
        try:
            self.network.__enter__()
            run("mount", "-t", "tmpfs", "memos-kube", str(self._images))  # no layer may be inside another overlay
            for workload in self.manifests.workloads():
                for number in range(self._replicas.get(workload.name, workload.replicas)):
                    self.add_pod(workload, number)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def create(self, objects: Iterable[Object]) -> None:
        """Add objects, as `kubectl create` would, before it runs."""
        self.manifests = Manifests([*self.manifests.objects, *objects])

    def apply(self, objects: Iterable[Object], *, tree: Path) -> None:
        """Put the manifests of another release in force, as `kubectl apply` would, while it runs.

        Pods stay what they are until `roll_out`; what `create` added stays.
        """
        new = Manifests(objects)
        said = {(each["kind"], each["metadata"]["name"]) for each in new.objects}
        kept = [each for each in self.manifests.objects if (each["kind"], each["metadata"]["name"]) not in said]
        with self._lock:
            self.manifests, self.tree = Manifests([*new.objects, *kept]), tree
            self._number_services()
        self.refresh()

    def close(self) -> None:
        """End every pod at once, and remove all of it."""
        for pod in list(self.pods.values()):
            with contextlib.suppress(Exception):
                pod.end(grace=0)
        self.pods.clear()
        self.network.__exit__(None, None, None)
        run("umount", str(self._images), check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def add_pod(self, workload: Workload, number: int, *, tree: Path | None = None) -> Pod:
        """Make a pod of a workload and start it, by default of the release in force."""
        tree = tree or self.tree
        kept = workload.object["kind"] == "StatefulSet"
        self._made += 1
        name = f"{workload.name}-{number}" if kept else f"{workload.name}-{self._made}"
        with self._lock:
            address = self.network.attach(name)
        folder = self.folder / "pods" / name
        mounted = volumes.make(
            workload.pod,
            folder=folder / "volumes",
            claims={claim: self.folder / "claims" / f"{claim}-{name}" for claim in workload.claims},
            manifests=self.manifests,
        )

        def container(spec: Object) -> Container:
            return Container(
                name=spec["name"],
                spec=spec,
                pod=workload.pod,
                image=image(spec["image"], tree),
                layer=self._layer(spec["image"], tree),
                namespace=self.network.namespace(name),
                env={
                    **self._links(workload.pod),
                    **variables(spec, self.manifests.files),
                    **self._env.get(workload.name, {}),
                },
                volumes=mounted,
                folder=folder / spec["name"],
                etc={"resolv.conf": self._names(), "hosts": f"127.0.0.1 localhost\n{address} {name}\n"},
            )

        pod = Pod(
            name=name,
            workload=workload,
            address=address,
            first=[container(each) for each in workload.pod.get("initContainers", ())],
            containers=[container(each) for each in workload.pod["containers"]],
            changed=self.refresh,
            tree=tree,
        )
        with self._lock:
            self.pods[name] = pod
        self.refresh()
        pod.start()
        return pod

    def delete_pod(self, name: str, *, grace: float | None = None) -> dict[str, int]:
        """End a pod; return the exit code of each of its containers. Nothing takes its place by itself."""
        pod = self.pods[name]
        codes = pod.end(grace=grace)
        with self._lock:
            del self.pods[name]
        self.network.detach(name)
        self.refresh()
        return codes

    def kill(self, name: str) -> None:
        """End a pod's container as a crash would; the kubelet starts it again."""
        self.pods[name].containers[0].signal(signal.SIGKILL)
        self.pods[name].mark_unready()

    def roll_out(self, name: str, *, seconds: float) -> Pod:
        """Replace a pod by one of the release in force."""
        return self._replace(name, self.manifests.workload(self.pods[name].workload.name), self.tree, seconds)

    def replace_pod(self, name: str, *, seconds: float) -> Pod:
        """Replace a pod by one of the release that it runs, as when its node is drained."""
        pod = self.pods[name]
        return self._replace(name, pod.workload, pod.tree, seconds)

    def _replace(self, name: str, workload: Workload, tree: Path, seconds: float) -> Pod:
        """Replace a Deployment's pod by one that is ready first, a StatefulSet's by its like."""
        if workload.object["kind"] == "StatefulSet":
            self.delete_pod(name)
            made = self.add_pod(workload, int(name.rpartition("-")[2]), tree=tree)
            self.wait_ready(seconds, only=[made.name])
            return made
        made = self.add_pod(workload, 0, tree=tree)
        self.wait_ready(seconds, only=[made.name])
        self.delete_pod(name)
        return made

    def wait_ready(self, seconds: float, *, only: Sequence[str] | None = None) -> None:
        """Wait until every pod is ready, or those that are named."""
        end = time.monotonic() + seconds
        while not all(pod.ready for name, pod in self.pods.items() if only is None or name in only):
            if time.monotonic() > end:
                missing = [name for name, pod in self.pods.items() if not pod.ready]
                raise AssertionError(f"not ready after {seconds} s: {missing}\n{self.log(missing)}")
            time.sleep(0.1)

    def of(self, workload: str) -> list[Pod]:
        """Return the pods of a workload."""
        return [pod for pod in self.pods.values() if pod.workload.name == workload]

    def address(self, service: str) -> str:
        """Return the address of a Service that has one."""
        port = self.manifests.get("Service", service)["spec"]["ports"][0]["port"]
        return f"{self._services[service]}:{port}"

    def execute(self, pod: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of this machine in the network of a pod, with its names."""
        names = shlex.quote(self._names())
        script = (
            f"printf %s {names} > {self.folder}/resolv.conf; mount --bind {self.folder}/resolv.conf /etc/resolv.conf"
        )
        return subprocess.run(
            [*self.network.entering(pod), "unshare", "--mount", "sh", "-c", f"{script}; exec {shlex.join(command)}"],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def log(self, names: Iterable[str] = (), *, most: int | None = 3000) -> str:
        """Return what pods wrote, of each container the last `most` characters."""
        return "\n".join(self.pods[name].log(most=most) for name in names or self.pods)

    def refresh(self) -> None:
        """Bring Services, names and policies in step with the pods."""
        with self._lock:
            services = [self._service(each) for each in self.manifests.of("Service")]
            names: dict[str, list[str]] = {}
            for each in services:
                full = f"{each.name}.{self.namespace}.svc.cluster.local"
                names[full] = [each.address] if each.address else list(each.pods)
            dns = ServiceAddress("kube-dns", self.network.addresses.dns, {53: [(self.network.dns_pod, 53)]}, ())
            self.network.apply([*services, dns], self._policies(), names)

    def _service(self, service: Object) -> ServiceAddress:
        name, spec = service["metadata"]["name"], service["spec"]
        pods = [
            pod
            for pod in self.pods.values()
            if pod.serves and selects({"matchLabels": spec["selector"]}, pod.workload.labels)
        ]
        ports = {
            port["port"]: [
                (pod.address, number)
                for pod in pods
                if (number := port_number(port.get("targetPort", port["port"]), pod.workload.pod)) is not None
            ]
            for port in spec["ports"]
        }
        return ServiceAddress(name, self._services.get(name), ports, [pod.address for pod in pods])

    def _policies(self) -> str:
        places = [
            policies.Place(pod.address, self.namespace, pod.workload.labels, pod.workload.pod)
            for pod in self.pods.values()
        ]
        places.append(policies.Place(self.network.dns_pod, "kube-system", _DNS_LABELS, {"containers": []}))
        own = self.manifests.of("Namespace")[0]["metadata"]
        spaces = {own["name"]: own.get("labels", {}), "kube-system": {}}
        spaces = {name: {**labels, "kubernetes.io/metadata.name": name} for name, labels in spaces.items()}
        return policies.rules(self.manifests.of("NetworkPolicy"), places, spaces)

    def _number_services(self) -> None:
        """Give each Service that is not headless an address, which it keeps."""
        for each in self.manifests.of("Service"):
            if each["spec"].get("clusterIP") != "None":
                address = self.network.addresses.service(20 + len(self._services))
                self._services.setdefault(each["metadata"]["name"], address)

    def _names(self) -> str:
        return resolv_conf(self.namespace, self.network.addresses.dns)

    def _links(self, pod: Object) -> Mapping[str, str]:
        """Return the variables of Services that Kubernetes gives to every pod that does not refuse them."""
        if not pod.get("enableServiceLinks", True):
            return {}
        made = {}
        for name, address in self._services.items():
            port = self.manifests.get("Service", name)["spec"]["ports"][0]["port"]
            prefix = name.upper().replace("-", "_")
            made[f"{prefix}_PORT"] = f"tcp://{address}:{port}"
            made[f"{prefix}_SERVICE_HOST"], made[f"{prefix}_SERVICE_PORT"] = address, str(port)
        return made

    def _layer(self, reference: str, tree: Path) -> Path:
        built = reference, tree
        if built not in self._layers:
            folder = self._images / str(len(self._layers))
            folder.mkdir()
            self._layers[built] = image(*built).write(folder)
        return self._layers[built]
