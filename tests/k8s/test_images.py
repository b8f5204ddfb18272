"""The Dockerfile, and what goes into each image."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from kube.images import ROOT, closure, group, image, plain
from memos_wire.methods import SERVICES

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMPILERS = {"pip", "hatchling", "cython", "grpcio-tools"}


def test_the_linter_finds_nothing():
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    ran = subprocess.run(
        [hadolint, "--no-color", ROOT / "k8s" / "images" / "Dockerfile"], capture_output=True, text=True
    )
    assert ran.stdout + ran.stderr == ""


def test_what_images_hold_has_its_range_and_its_version():
    extras = PROJECT["project"]["optional-dependencies"]
    ranges = {
        plain(Requirement(each).name)
        for each in (*PROJECT["project"]["dependencies"], *extras["postgres"], *extras["dev"])
    }
    pinned = {plain(line.partition("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    for service in (*SERVICES, "dev-s3"):
        for each in map(Requirement, group(service)):
            assert plain(each.name) in ranges
        assert closure(group(service)) <= pinned


@pytest.mark.parametrize("service", SERVICES)
def test_torch_is_in_the_image_of_inference_alone_and_no_compiler_in_any(service):
    held = closure(group(service))
    assert ("torch" in held) is (service == "inference")
    assert not held & COMPILERS
    assert image(f"memos/{service}:1").entry == ("memosctl",)
