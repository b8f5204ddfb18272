"""`memosctl up` as a person uses it: start, add, search, ask, trace, start twice, stop, start again."""

import json
import subprocess

from deployment import Deployment

CAT = "Nora's cat is called Biscuit."


def answer(ran: subprocess.CompletedProcess[str]) -> dict:
    return json.loads(ran.stdout)


def test_a_memory_is_found_used_traced_and_there_after_a_restart(launch, tmp_path):
    system: Deployment = launch(tmp_path / "state")
    assert (tmp_path / "state" / "admin.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700

    added = answer(system.memosctl("add", CAT, "--speaker", "Felix", "--session", "s1", "--json"))
    cube = added["added"][0]["cube"]["name"]
    found = answer(system.memosctl("search", "what is the cat called?", "--json"))
    assert found["hits"][0]["cube"]["name"] == cube
    assert not found["degraded"]

    talked = answer(system.memosctl("chat", "What is the name of Nora's cat?", "--json"))
    assert [item["cube"]["name"] for item in talked["plan"]["chosen"]] == [cube]
    graph = answer(system.memosctl("provenance", "--last", "--json"))["provenance"]
    kinds = {node["name"]: node["kind"].removeprefix("PROVENANCE_NODE_KIND_") for node in graph["nodes"]}
    assert sorted(kinds.values()) == ["ANSWER", "CUBE", "MESSAGE", "PLAN"]
    steps = {(kinds[edge["source"]], kinds[edge["target"]]) for edge in graph["edges"]}
    assert steps == {("MESSAGE", "CUBE"), ("CUBE", "PLAN"), ("PLAN", "ANSWER")}

    doctor = answer(system.memosctl("doctor", "--json"))
    assert [one for one in doctor["findings"] if one["verdict"] not in {"ok", "skipped"}] == []

    second = system.memosctl("up", "--address", "127.0.0.1:0", check=False)
    assert second.returncode == 1
    assert "serves from" in second.stderr
    assert "--state-dir" in second.stderr

    system.stop()
    again: Deployment = launch(tmp_path / "state")
    kept = answer(again.memosctl("get", cube, "--json"))["cube"]
    assert kept["plaintext"]["text"] == CAT
    assert kept["usage"]["hits"] == "1"
    assert answer(again.memosctl("add", CAT, "--speaker", "Felix", "--session", "s2", "--json"))["added"]
