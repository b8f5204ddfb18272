"""A conversation of the LoCoMo format goes in by the importer and comes back with speaker, time and source."""

import json
import os
from datetime import datetime
from pathlib import Path

import pytest

from arrangements import in_one_process
from memos_api.v1 import memory_service_pb2 as memory

DATA = Path(os.environ.get("MEMOS_EVAL_DATA", Path(__file__).parents[3] / "shared/data/locomo-dev/locomo_dev.json"))


def turns(conversation: dict) -> list[dict]:
    """Return the turns of one conversation as messages; its clocks have no zone, so UTC is said."""
    found = []
    number = 1
    while (session := conversation.get(f"session_{number}")) is not None:
        said = conversation[f"session_{number}_date_time"]
        moment = datetime.strptime(said, "%I:%M %p on %d %B, %Y").strftime("%Y-%m-%dT%H:%M:00+00:00")
        found += [
            {
                "session": f"session-{number}",
                "id": turn["dia_id"],
                "speaker": turn["speaker"],
                "time": moment,
                "text": turn["text"],
            }
            for turn in session
            if turn["text"].strip()
        ]
        number += 1
    return found


@pytest.mark.skipif(not DATA.exists(), reason="the evaluation data are not here; set MEMOS_EVAL_DATA")
@in_one_process
async def test_a_conversation_goes_in_by_import_and_comes_back_by_search(system, caller, vault, tmp_path):
    sample = json.loads(DATA.read_text())[0]
    said = turns(sample["conversation"])
    file = tmp_path / "talk.jsonl"
    file.write_text("".join(json.dumps(turn) + "\n" for turn in said))
    ran = system.memosctl("import", str(file), "--vault", vault, "--json")
    assert json.loads(ran.stdout)["added"] + json.loads(ran.stdout).get("skipped", 0) == len(said)
    by_id = {turn["id"]: turn for turn in said}
    asked = [question for question in sample["qa"] if len(question.get("evidence", [])) == 1][:40]
    found = 0
    for question in asked:
        request = memory.SearchMemoriesRequest(vaults=[vault], query=question["question"], top_k=20)
        answer = await caller.memory.SearchMemories(request)
        for hit in answer.hits:
            source = hit.cube.sources[0]
            turn = by_id[source.message_id]
            assert (source.speaker, source.session, hit.cube.plaintext.text) == (
                turn["speaker"],
                turn["session"],
                turn["text"],
            )
            assert source.event_time.ToJsonString() == turn["time"].replace("+00:00", "Z")
        found += question["evidence"][0] in {hit.cube.sources[0].message_id for hit in answer.hits}
    assert found >= len(asked) * 0.85
