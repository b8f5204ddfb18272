"""Every overlay with every combination of components."""

import itertools
import shutil
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
import yaml

from at_end import AT_END
from kube.manifests import Manifests
from kubectl import K8S, render

OVERLAYS = ("dev", "prod")
NOT_FOR = {"dev": {"queue-autoscaling"}, "prod": {"dev-stores"}}
"""What makes no sense there: `dev` has no autoscalers, `prod` stores outside."""
COMPONENTS = tuple(sorted(path.name for path in (K8S / "components").iterdir()))


@dataclass(frozen=True)
class Rendered(Manifests):
    """What a combination renders to."""

    name: str
    objects: list[dict] = field(repr=False)

    def __str__(self) -> str:
        return self.name


def included(overlay: str) -> set[str]:
    """Return the components that an overlay has already."""
    stated = yaml.safe_load((K8S / "overlays" / overlay / "kustomization.yaml").read_text())
    return {Path(each).name for each in stated.get("components", ())}


def combinations() -> list[tuple[str, tuple[str, ...]]]:
    found = []
    for overlay in OVERLAYS:
        more = [each for each in COMPONENTS if each not in included(overlay) | NOT_FOR[overlay]]
        for count in range(len(more) + 1):
            found += [(overlay, chosen) for chosen in itertools.combinations(more, count)]
    return found


@cache
def _copy() -> Path:
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="memos-k8s-"))
    AT_END.callback(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(K8S, folder / "k8s")
    return folder / "k8s"


@cache
def rendered_as(overlay: str, chosen: tuple[str, ...]) -> Rendered:
    """Return an overlay with further components, as `kubectl kustomize` renders it."""
    name = "+".join((overlay, *chosen))
    folder = _copy() / "combined" / name
    folder.mkdir(parents=True)
    stated = {"resources": [f"../../overlays/{overlay}"], "components": [f"../../components/{each}" for each in chosen]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(stated))
    return Rendered(name=name, objects=render(folder))


@pytest.fixture(params=combinations(), ids=lambda each: "+".join((each[0], *each[1])))
def rendered(request) -> Rendered:
    """Each combination."""
    return rendered_as(*request.param)


@pytest.fixture(params=OVERLAYS)
def overlay(request) -> Rendered:
    """Each overlay as it is."""
    return rendered_as(request.param, ())
