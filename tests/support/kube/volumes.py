"""What is mounted into the containers of a pod: configuration, secrets, empty folders and claims."""

import os
import uuid
from collections.abc import Mapping
from pathlib import Path

from kube.manifests import Manifests, Object


def make(pod: Object, *, folder: Path, claims: Mapping[str, Path], manifests: Manifests) -> dict[str, Path]:
    """Return the folder of each volume of a pod; `claims` are those of a StatefulSet by name."""
    group = pod.get("securityContext", {}).get("fsGroup", 0)
    made = {}
    for volume in pod.get("volumes", ()):
        name = volume["name"]
        path = folder / name
        match volume:
            case {"configMap": source} | {"secret": source}:
                kind = "ConfigMap" if "configMap" in volume else "Secret"
                files = manifests.files(kind, source.get("name") or source["secretName"])
                project(path, files, mode=source.get("defaultMode", 0o644), group=group)
            case {"emptyDir": _}:
                _shared(path, group)
            case _:
                raise NotImplementedError(f"the kind of volume {name}")
        made[name] = path
    for name, path in claims.items():
        _shared(path, group)
        made[name] = path
    return made


def project(path: Path, files: Mapping[str, bytes], *, mode: int, group: int) -> None:
    """Write files as a kubelet does: behind a link that is swapped, so that all of them change at once."""
    path.mkdir(parents=True, exist_ok=True)
    version = f"..{uuid.uuid4().hex}"
    (path / version).mkdir()
    for name, content in files.items():
        file = path / version / name
        file.write_bytes(content)
        file.chmod(mode | (0o440 if group else 0))
        os.chown(file, 0, group)
        if not (path / name).is_symlink():
            (path / name).symlink_to(f"..data/{name}")
    (path / "..new").symlink_to(version)
    (path / "..new").rename(path / "..data")


def _shared(path: Path, group: int) -> None:
    """Make an empty folder that belongs to root and is open to the group of the pod, as Kubernetes does."""
    path.mkdir(parents=True, exist_ok=True)
    os.chown(path, 0, group)
    path.chmod(0o2777)
