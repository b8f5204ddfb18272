"""A short run of what `make chaos` does for long, and that it would notice if a part were missing."""

import os
import random
import re
import subprocess
import sys

import chaos_run
import pytest
from chaos_child import LITE_ONLY, POINTS
from chaos_plant import EmbeddedPlant, ServedPlant
from chaos_power import Disk
from chaos_run import chaos, schedule

SEED, OPERATIONS = 7, 200


async def test_nothing_acknowledged_is_lost_and_nothing_erased_is_found(tmp_path):
    failures = ["lose power", "purge.index", "kill Milvus Lite", "disk full"]
    report = await chaos("embedded", failures, seed=SEED, operations=OPERATIONS, folder=tmp_path / "system", tell=False)
    assert report.violations == []
    assert (report.cycles, report.lost, report.duplicates, report.drift, report.found_after_purge) == (4, 0, 0, 0, 0)
    assert report.operations.total() >= 4 * OPERATIONS
    assert report.points["purge.index"] == 1
    tiers = {"catalogue", "catalogue files", "index files", "index points", "blobs"}
    assert {tier for tier, times in report.tiers_before.items() if times == 4} == tiers
    assert not report.tiers_after


@pytest.mark.parametrize(
    ("part", "violation"),
    [("fsync", "NOT_FOUND|not there"), ("outbox", "the index lacks"), ("pending", "not found by its meaning")],
)
async def test_a_missing_part_is_noticed(part, violation, tmp_path, monkeypatch):
    monkeypatch.setattr(chaos_run, "SETTLE_SECONDS", 20.0)
    failures = ["lose power", "lose power"]
    folder = tmp_path / "system"
    report = await chaos("embedded", failures, seed=SEED, operations=60, folder=folder, without=part, tell=False)
    assert re.search(violation, report.violations[0])


@pytest.mark.parametrize(("plant", "missing"), [(EmbeddedPlant, set()), (ServedPlant, LITE_ONLY)])
def test_every_point_and_every_failure_has_its_turn(plant, missing):
    planned = schedule(plant, 60, random.Random(SEED))
    assert set(planned) == {*POINTS, *plant.failures} - missing


async def test_the_disk_takes_back_what_was_not_synced(tmp_path):
    root = tmp_path / "root" / "data"
    root.mkdir(parents=True)
    disk = Disk(tmp_path / "disk", tmp_path / "root")
    script = """
import os, sys
root = sys.argv[1]
def write(name, data, *, sync=True):
    with open(f"{root}/{name}", "wb") as file:
        file.write(data); file.flush()
        if sync: os.fsync(file.fileno())
def sync_directory():
    folder = os.open(root, os.O_RDONLY); os.fsync(folder); os.close(folder)
write("kept", b"synced")
write("grown", b"synced"); open(f"{root}/grown", "ab").write(b" and not")
write("part-1", b"whole"); os.rename(f"{root}/part-1", f"{root}/named")
write("part-2", b"never synced", sync=False); os.rename(f"{root}/part-2", f"{root}/hollow")
write("gone", b"removed for good"); os.unlink(f"{root}/gone")
sync_directory()
write("part-3", b"whole"); os.rename(f"{root}/part-3", f"{root}/unnamed")
write("back", b"removed in vain"); os.unlink(f"{root}/back")
"""
    subprocess.run([sys.executable, "-c", script, root], env={**os.environ, **disk.environment}, check=True)
    disk.lose_power()
    left = {path.name: path.read_bytes() for path in root.iterdir()}
    assert left == {
        "kept": b"synced",
        "grown": b"synced",
        "named": b"whole",
        "hollow": b"",
        "part-3": b"whole",
        "back": b"removed in vain",
    }
