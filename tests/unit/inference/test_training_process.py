"""Trainings in processes of their own, here with stand-ins for the process: how each of them ends."""

import asyncio
import os
from contextlib import aclosing
from pathlib import Path

import pytest

from memos_inference.adapters import training_process
from memos_inference.adapters.memory import EchoEngine
from memos_inference.adapters.training_process import ProcessTraining
from memos_inference.config import InferenceConfig
from memos_inference.ports import Trained
from memos_kernel.errors import AdapterRejected, InternalError, Overloaded

LEARNS = """
import json, os, sys
job = json.load(sys.stdin)
print(json.dumps({"progress": 0.25}), flush=True)
names = ",".join(sorted(os.environ))
texts = "|".join(f"{one['speaker']}/{one['line']}" for one in job["memories"])
print(json.dumps({"outcome": {"learned": [0], "report": {"names": names, "texts": texts, "path": job["path"]}}}))
"""
REFUSES = """
import json
said = {"reason": "ADAPTER_REJECTED", "message": "Not good enough.", "metadata": {"recall": "0.5"}}
print(json.dumps({"outcome": said}))
"""
FAILS = """
import json
print(json.dumps({"outcome": {"reason": "INTERNAL_ERROR", "message": "The adapter cannot be written."}}))
"""
DIES = "raise SystemExit(3)"
HANGS = """
import json, os, time
print(json.dumps({"progress": os.getpid()}), flush=True)
time.sleep(600)
"""


@pytest.fixture
def training(tmp_path, monkeypatch):
    def make(script):
        (tmp_path / "stand_in_for_training.py").write_text(script)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(training_process, "_MODULE", "stand_in_for_training")
        return ProcessTraining(InferenceConfig(), tmp_path / "trainings")

    return make


@pytest.fixture
async def train(training, cube, tmp_path):
    identity = (await EchoEngine().describe()).identity

    def start(script_or_training):
        made = training(script_or_training) if isinstance(script_or_training, str) else script_or_training
        return made.train([cube("Nora has a dog.")], tmp_path, identity=identity)

    return start


async def test_it_is_told_the_memories_and_tells_how_it_ends(train, tmp_path, monkeypatch):
    monkeypatch.setenv("MEMOS_INFERENCE__SEAL_KEY", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    share, trained = [step async for step in train(LEARNS)]
    assert share == 0.25
    assert isinstance(trained, Trained)
    assert (trained.learned, trained.rank, trained.path.parent) == ([0], 32, tmp_path)
    assert trained.activated
    assert trained.report["texts"] == "/Nora has a dog."
    assert not {"MEMOS_INFERENCE__SEAL_KEY", "AWS_SECRET_ACCESS_KEY"} & set(trained.report["names"].split(","))


@pytest.mark.parametrize(
    ("script", "error", "message"),
    [
        (REFUSES, AdapterRejected, "Not good"),
        (FAILS, InternalError, "cannot be written"),
        (DIES, InternalError, "broke"),
    ],
)
async def test_its_failure_keeps_its_reason(train, script, error, message):
    with pytest.raises(error, match=message) as caught:
        _ = [step async for step in train(script)]
    assert error is not AdapterRejected or caught.value.metadata == {"recall": "0.5"}


async def test_who_leaves_ends_the_process(train):
    async with aclosing(train(HANGS)) as steps:
        process = Path(f"/proc/{int(await anext(steps))}")
        assert process.exists()
    assert not process.exists()


NOTES = """
import json, sys, time
job = json.load(sys.stdin)
with open(job["checkpoint"], "a") as file:
    file.write("x")
print(json.dumps({"progress": len(open(job["checkpoint"]).read())}), flush=True)
if len(open(job["checkpoint"]).read()) < 3:
    time.sleep(600)
print(json.dumps({"outcome": {"learned": [0], "report": {}}}))
"""


async def test_what_is_asked_for_again_finds_how_far_it_was_until_it_has_ended(train, training, tmp_path, cube):
    (tmp_path / "trainings").mkdir()
    made = training(NOTES)
    for attempt in (1.0, 2.0):
        async with aclosing(train(made)) as steps:
            assert await anext(steps) == attempt
    identity = (await EchoEngine().describe()).identity
    async with aclosing(made.train([cube("Nora has a cat.")], tmp_path, identity=identity)) as steps:
        assert await anext(steps) == 1.0  # of another memory
    third, _ = [step async for step in train(made)]
    assert third == 3.0
    (other,) = (tmp_path / "trainings").iterdir()
    assert other.read_text() == "x"


async def test_while_one_is_trained_others_are_told_to_come_again(train, training):
    one_at_a_time = training(HANGS)
    async with aclosing(train(one_at_a_time)) as steps:
        await anext(steps)
        with pytest.raises(Overloaded) as caught:
            await anext(train(one_at_a_time))
        assert caught.value.retry_after > 0
    async with asyncio.timeout(20), aclosing(train(one_at_a_time)) as steps:
        assert int(await anext(steps)) != os.getpid()
