"""A container: a process with a root, a network and ids of its own."""

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kube.images import Image
from kube.manifests import Object

START = """
set -e
mount --make-rprivate /
mount -t overlay overlay -o lowerdir={lower},upperdir={upper},workdir={work} {root}
mount --rbind /dev {root}/dev
mount -t proc proc {root}/proc
{mounts}
{close}
exec chroot {root} setpriv {ids} --inh-caps=-all {capabilities} {privileges} env -i -C {folder} {env} {command}
"""


@dataclass
class Container:
    """What is started when it is entered as a process; see `start`.

    Attributes:
        name: of the container in its pod.
        spec: as rendered.
        pod: spec of its pod.
        image: what it runs.
        layer: the image's layer.
        namespace: network namespace.
        env: variables of the manifest.
        volumes: folders by name.
        folder: for its files and its log.
        etc: files that a kubelet writes into /etc.
    """

    name: str
    spec: Object
    pod: Object
    image: Image
    layer: Path
    namespace: str
    env: Mapping[str, str]
    volumes: Mapping[str, Path]
    folder: Path
    etc: Mapping[str, str]
    restarts: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def log_file(self) -> Path:
        return self.folder / "log"

    def start(self) -> None:
        """Start the process; what it writes goes to the log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(dir=self.folder, prefix="root-"))
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("nsenter", f"--net=/run/netns/{self.namespace}"),
                    *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
                    *("sh", "-c", self._script(place)),
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    @property
    def started(self) -> bool:
        return self._process is not None

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def wait(self, seconds: float | None = None) -> int:
        assert self._process is not None
        return self._process.wait(seconds)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its first process, which it may not handle yet."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, number)

    @property
    def pid(self) -> int | None:
        """Id of its first process on this machine."""
        assert self._process is not None
        try:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        except FileNotFoundError:
            return None
        return int(children[0]) if children else None

    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def _script(self, place: Path) -> str:
        upper, work, root = (place / each for each in ("upper", "work", "root"))
        for each in (upper, work, root):
            each.mkdir()
        for name, text in self.etc.items():
            (upper / "etc").mkdir(exist_ok=True)
            (upper / "etc" / name).write_text(text)
        context, shared = self.spec.get("securityContext", {}), self.pod.get("securityContext", {})
        user = context.get("runAsUser", shared.get("runAsUser", 0))
        group = context.get("runAsGroup", shared.get("runAsGroup", user))
        groups = f"--groups {shared['fsGroup']}" if "fsGroup" in shared else "--clear-groups"
        dropped = "ALL" in context.get("capabilities", {}).get("drop", ())
        variables = {"HOSTNAME": self.namespace, **self.image.env, **self.env}
        return START.format(
            lower=f"{self.layer}:/",
            upper=upper,
            work=work,
            root=root,
            mounts="\n".join(self._mounts(upper, root)),
            close=f"mount -o remount,ro {root}" if context.get("readOnlyRootFilesystem") else "",
            ids=f"--reuid {user} --regid {group} {groups}",
            capabilities="--bounding-set=-all" if dropped else "",
            privileges="" if context.get("allowPrivilegeEscalation", True) else "--no-new-privs",
            folder=self.spec.get("workingDir", self.image.folder),
            env=" ".join(shlex.quote(f"{key}={value}") for key, value in variables.items()),
            command=shlex.join(self._command()),
        )

    def _mounts(self, upper: Path, root: Path) -> Sequence[str]:
        lines = []
        kept = {number: path for number, path in enumerate(self.image.kept) if path.exists()}
        for number, path in kept.items():  # before a volume hides them
            (upper.parent / str(number)).mkdir()
            lines.append(f"mount --bind {root}{path} {upper.parent / str(number)}")
        for mount in self.spec.get("volumeMounts", ()):
            path = mount["mountPath"].lstrip("/")
            (upper / path).mkdir(parents=True, exist_ok=True)
            if path == "tmp":
                (upper / path).chmod(0o1777)
            lines.append(f"mount --bind {self.volumes[mount['name']]} {root / path}")
            if mount.get("readOnly"):
                lines.append(f"mount -o remount,bind,ro {root / path}")
            for number, held in kept.items():
                if held.is_relative_to(mount["mountPath"]):
                    lines += [f"mkdir -p {root}{held}", f"mount --bind {upper.parent / str(number)} {root}{held}"]
        return lines

    def _command(self) -> list[str]:
        command = self.spec.get("command", [*self.image.entry])
        return [*command, *self.spec.get("args", ())]
