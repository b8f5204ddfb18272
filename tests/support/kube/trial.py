"""The overlay for trials, with the secrets that `memosctl secrets` makes for it."""

import json
import subprocess
import sys
from collections.abc import Mapping

from kube.cluster import Cluster
from kubectl import K8S, render


def trial(*, env: Mapping[str, Mapping[str, str]] | None = None, replicas: Mapping[str, int] | None = None) -> Cluster:
    """Return a cluster of the overlay `dev`, which runs while it is entered; see `Cluster`."""
    cluster = Cluster(render(K8S / "overlays" / "dev"), env=env, replicas=replicas)
    host = cluster.address("interface").partition(":")[0]
    command = [sys.executable, "-m", "memosctl", "secrets", "--dev-stores", "--host", host]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    cluster.create(json.loads(made.stdout)["items"])
    return cluster
