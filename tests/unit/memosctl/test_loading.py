"""`memosctl load` and `import` against a server: where lines come from, and what is told of those that are wrong."""

import json
import os
import threading

import pytest

HUGE = json.dumps({"text": "a" * 5_000_000})


def lines(*memories: object) -> str:
    return "".join(json.dumps(memory) + "\n" for memory in memories)


def texts(server) -> list[str]:
    return sorted(cube.text for cube in server.desk.storage.cubes.values())


def test_a_line_that_no_message_carries_is_named_with_the_limit_and_nothing_behind_it_is_loaded(
    memosctl, server, tmp_path
) -> None:
    file = tmp_path / "memories.jsonl"
    file.write_text(lines({"text": "a"}) + HUGE + "\n")

    result = memosctl.run("load", str(file), "-v", "notes")

    assert result.exit_code == 1
    assert "Line 2 has 5000" in result.stderr
    assert "a message at most 4194304" in result.stderr


def test_a_line_that_no_message_carries_is_left_out_of_an_import_and_named_with_the_limit(
    memosctl, server, tmp_path
) -> None:
    file = tmp_path / "talk.jsonl"
    file.write_text(lines({"text": "a"}) + HUGE + "\n" + lines({"text": "b"}))

    result = memosctl.run("import", str(file), "-v", "notes", "--json")

    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert (report["added"], [bad["line"] for bad in report["errors"]]) == (2, [2])
    assert "a message at most 4194304" in report["errors"][0]["reason"]
    assert texts(server) == ["a", "b"]


def test_a_number_that_no_field_holds_is_told_by_its_line(memosctl, server, tmp_path) -> None:
    file = tmp_path / "memories.jsonl"
    file.write_text(lines({"text": "a"}) + '{"text": "b", "vector": [1' + "0" * 400 + "]}\n")

    result = memosctl.run("load", str(file), "-v", "notes")

    assert result.exit_code == 1
    assert "Line 2 cannot be sent" in result.stderr


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"labels": ["x"]}, '"labels" that is not an object of strings'),
        ({"labels": {"x": 1}}, '"labels" that is not an object of strings'),
        ({"vector": "x"}, '"vector" that is not an array of numbers'),
        ({"vector": [0.5, True]}, '"vector" that is not an array of numbers'),
        ({"priority": "high"}, '"priority" that is not a whole number from 0 to 100'),
        ({"priority": 2**40}, '"priority" that is not a whole number from 0 to 100'),
        ({"semantic_type": "opinion"}, '"semantic_type" that is not a sort of content such as PREFERENCE'),
        ({"speaker": 7}, '"speaker" that is not a string'),
        ({"time": "2026-03-02"}, '"time" that is not a time with an offset, such as 2026-03-02T19:12:00+01:00'),
        ({"valid_until": 7}, '"valid_until" that is not a time'),
        ({"name": "\ud800"}, '"name" with half a character'),
        ({"labels": {"x": "\ud800"}}, '"labels" with half a character'),
    ],
)
def test_a_field_that_no_memory_may_have_so_is_told_with_its_line_and_what_is_expected(
    memosctl, server, tmp_path, wrong, expected
) -> None:
    file = tmp_path / "memories.jsonl"
    file.write_text(lines(*({"text": f"Fact {number}."} for number in range(300)), {"text": "a", **wrong}))

    result = memosctl.run("load", str(file), "-v", "notes", "--json")

    assert result.exit_code == 1
    error = json.loads(result.stderr)["error"]
    assert (error["reason"], error["message"].startswith("Line 301 has a field ")) == ("BAD_LINE", True)
    assert expected in error["message"]


def test_every_field_of_a_memory_is_read_and_one_that_is_null_is_none(memosctl, server, tmp_path) -> None:
    file = tmp_path / "memories.jsonl"
    file.write_text(
        lines(
            {"text": "a", "labels": {"topic": "pets"}, "priority": 7, "semantic_type": "PREFERENCE", "speaker": "Nora",
             "time": "2026-03-02T19:12:00+01:00", "vector": None, "name": None, "session": ""}
        )
    )  # fmt: skip

    assert memosctl.json("load", str(file), "-v", "notes")["added"] == 1

    (cube,) = server.desk.storage.cubes.values()
    assert (dict(cube.labels), cube.priority, cube.semantic_type.name) == ({"topic": "pets"}, 7, "PREFERENCE")
    assert cube.sources[0].speaker == "Nora"


def test_the_lines_of_a_pipe_are_loaded(memosctl, server, tmp_path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(lines({"text": "a"}, {"text": "b"}),))
    writer.start()

    answer = memosctl.json("load", str(pipe), "-v", "notes")

    writer.join()
    assert answer["added"] == 2
    assert texts(server) == ["a", "b"]


@pytest.mark.parametrize("command", ["load", "import"])
def test_a_dash_reads_the_lines_of_standard_input(memosctl, server, command) -> None:
    result = memosctl.run(command, "-", "-v", "notes", "--json", stdin=lines({"text": "a"}, {"text": "b"}))

    assert (result.exit_code, json.loads(result.stdout)["added"]) == (0, 2)
    assert texts(server) == ["a", "b"]
