"""A short run of what `make chaos` does for long, and that it would notice if a part were missing."""

import random

import chaos_run
import pytest
from chaos_child import LITE_ONLY, POINTS
from chaos_plant import EmbeddedPlant, ServedPlant
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


@pytest.mark.parametrize("part", ["fsync", "outbox", "pending"])
async def test_a_missing_part_is_noticed(part, tmp_path, monkeypatch):
    monkeypatch.setattr(chaos_run, "SETTLE_SECONDS", 10.0)
    failures = ["lose power", "lose power"]
    folder = tmp_path / "system"
    report = await chaos("embedded", failures, seed=SEED, operations=60, folder=folder, without=part, tell=False)
    assert report.violations


@pytest.mark.parametrize(("plant", "missing"), [(EmbeddedPlant, set()), (ServedPlant, LITE_ONLY)])
def test_every_point_and_every_failure_has_its_turn(plant, missing):
    planned = schedule(plant, 60, random.Random(SEED))
    assert set(planned) == {*POINTS, *plant.failures} - missing
