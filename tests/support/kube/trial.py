"""The overlay for trials of a release, with the secrets that its `memosctl secrets` makes."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from kube.cluster import Cluster
from kube.images import ROOT, python_path
from kube.manifests import Object
from kubectl import render


def overlay(tree: Path) -> list[Object]:
    """Return the objects of the overlay `dev` of a release."""
    return render(tree / "k8s" / "overlays" / "dev")


def trial(
    *,
    env: Mapping[str, Mapping[str, str]] | None = None,
    replicas: Mapping[str, int] | None = None,
    tree: Path = ROOT,
) -> Cluster:
    """Return a cluster of the overlay `dev`, which runs while it is entered; see `Cluster`."""
    cluster = Cluster(overlay(tree), env=env, replicas=replicas, tree=tree)
    host = cluster.address("interface").partition(":")[0]
    made = subprocess.run(
        [sys.executable, "-m", "memosctl", "secrets", "--dev-stores", "--host", host],
        env=os.environ | python_path(tree),
        check=True,
        capture_output=True,
        text=True,
    )
    cluster.create(json.loads(made.stdout)["items"])
    return cluster
