"""One pod, from its first container to its last breath."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kube import probes
from kube.containers import Container
from kube.manifests import Object, Workload

_TICK_SECONDS = 0.2
_BACKOFF_SECONDS = (1, 2, 4, 8, 15)


@dataclass
class Pod:
    """A pod; `run` is its life.

    Attributes:
        name: of the pod.
        workload: what it belongs to.
        address: in the network of the cluster.
        first: containers that run before the others, one after the other.
        containers: the others.
        changed: called when the pod becomes ready, or is no longer.
        tree: of the release that it runs.
    """

    name: str
    workload: Workload
    address: str
    first: Sequence[Container]
    containers: Sequence[Container]
    changed: Callable[[], None]
    tree: Path
    ready: bool = False
    events: list[str] = field(default_factory=list)
    kept: Sequence["_Kept"] = ()
    _ending: threading.Event = field(default_factory=threading.Event)
    _life: threading.Thread | None = None

    @property
    def serves(self) -> bool:
        """Whether Services lead to it."""
        return self.ready and not self._ending.is_set()

    def start(self) -> None:
        self._life = threading.Thread(target=self.run, name=self.name, daemon=True)
        self._life.start()

    def run(self) -> None:
        for container in self.first:
            while not self._ending.is_set():
                container.start()
                while container.poll() is None and not self._ending.wait(_TICK_SECONDS):
                    pass
                if container.poll() == 0:
                    break
                self._event(f"{container.name} ended with {container.poll()}")
                self._back_off(container)
        self.kept = [_Kept(container, self) for container in self.containers if not self._ending.is_set()]
        for each in self.kept:
            each.container.start()
        while not self._ending.wait(_TICK_SECONDS):
            for each in self.kept:
                each.look()
            if self.ready is not (now := all(each.ready for each in self.kept)):
                self.ready = now
                self._event("ready" if now else "not ready")
                self.changed()

    def mark_unready(self) -> None:
        """Take it out of the Services now, as for a container that has ended, which is seen a moment later."""
        self.ready = False
        for each in self.kept:
            each.ready = False
        self.changed()

    def end(self, *, grace: float | None = None) -> dict[str, int]:
        """End it as a kubelet would; return the exit code of each container."""
        self._ending.set()
        self.changed()
        if self._life is not None:
            self._life.join()
        seconds = self.workload.pod.get("terminationGracePeriodSeconds", 30) if grace is None else grace
        running = [each for each in (*self.first, *self.containers) if each.started and each.poll() is None]
        for container in running:
            container.signal(signal.SIGTERM if seconds else signal.SIGKILL)
        end = time.monotonic() + seconds
        for container in running:
            try:
                container.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._event(f"{container.name} did not end within {seconds} s and is killed")
                container.signal(signal.SIGKILL)
                container.wait()
        self.ready = False
        return {each.name: each.poll() for each in self.containers if each.started}

    def log(self, *, most: int | None = 3000) -> str:
        """Return what its containers wrote, of each the last `most` characters, and what happened to it."""
        written = {each.name: each.log() for each in (*self.first, *self.containers)}
        parts = [f"--- {self.name} {name}\n{text[-most:] if most else text}" for name, text in written.items()]
        return "\n".join([*parts, *(f"{self.name}: {each}" for each in self.events)])

    def _event(self, what: str) -> None:
        self.events.append(what)

    def _back_off(self, container: Container) -> None:
        self._ending.wait(_BACKOFF_SECONDS[min(container.restarts, len(_BACKOFF_SECONDS) - 1)])
        container.restarts += 1


@dataclass
class _Kept:
    """A container that is kept running, with its probes."""

    container: Container
    pod: Pod
    ready: bool = False
    _started: bool = False
    _due: dict[str, float] = field(default_factory=dict)
    _failed: dict[str, int] = field(default_factory=dict)

    def look(self) -> None:
        if self.container.poll() is not None:
            self.pod._event(f"{self.container.name} ended with {self.container.poll()}")
            self.ready = False
            self._restart()
            return
        if not self._started:
            match self._probe("startupProbe", failures=3):
                case True:
                    self._started = True
                case False:
                    self._kill("it did not start in time")
            return
        if self._probe("livenessProbe", failures=3) is False:
            self._kill("it does not live")
            return
        answer = self._probe("readinessProbe", failures=3)
        if answer is not None:
            self.ready = answer

    def _probe(self, kind: str, *, failures: int) -> bool | None:
        """Return True after a success, False after as many failures as are allowed, else None."""
        spec: Object | None = self.container.spec.get(kind)
        if spec is None:
            return None if kind == "livenessProbe" else True
        now = time.monotonic()
        if now < self._due.get(kind, 0):
            return None
        self._due[kind] = now + spec.get("periodSeconds", 10)
        if probes.succeeds(spec, self.pod.address, self.pod.workload.pod):
            self._failed[kind] = 0
            return True
        self._failed[kind] = self._failed.get(kind, 0) + 1
        return False if self._failed[kind] >= spec.get("failureThreshold", failures) else None

    def _kill(self, why: str) -> None:
        self.pod._event(f"{self.container.name} is killed: {why}")
        self.container.signal(signal.SIGKILL)
        self.container.wait()
        self._restart()

    def _restart(self) -> None:
        self._started, self.ready = False, False
        self._due.clear()
        self._failed.clear()
        self.pod._back_off(self.container)
        if not self.pod._ending.is_set():
            self.container.start()


def variables(spec: Object, resolve: Callable[[str, str], Mapping[str, bytes]]) -> dict[str, str]:
    """Return the variables of a container's manifest; `resolve` gives what a ConfigMap or Secret holds."""
    made: dict[str, str] = {}
    for source in spec.get("envFrom", ()):
        for kind, key in (("Secret", "secretRef"), ("ConfigMap", "configMapRef")):
            if key in source:
                made |= {name: value.decode() for name, value in resolve(kind, source[key]["name"]).items()}
    for each in spec.get("env", ()):
        if "value" in each:
            made[each["name"]] = each["value"]
        elif reference := each.get("valueFrom", {}).get("secretKeyRef"):
            made[each["name"]] = resolve("Secret", reference["name"])[reference["key"]].decode()
        else:
            raise NotImplementedError(str(each))
    return made
