"""A transcript without ids and times is imported, mended, imported again: each message is stored once."""

import json


def said(*texts):
    return "".join(json.dumps({"speaker": "Nora", "text": text}) + "\n" for text in texts)


async def test_a_mended_file_adds_what_was_missing_and_what_was_deleted(system, vault, tmp_path):
    file = tmp_path / "talk.jsonl"

    def imported(content, *, check=True):
        file.write_text(content)
        ran = system.memosctl("import", str(file), "--vault", vault, "--json", check=check)
        report = json.loads(ran.stdout)
        return report["added"], report["known"], len(report["errors"])

    first = said("I adopted a cat.", "Yes.", "We live in Ghent.", "Yes.")
    assert imported(f"nonsense\n{first}", check=False) == (4, 0, 1)
    assert imported(said("My sister came by.") + first) == (1, 4, 0)

    found = json.loads(system.memosctl("search", "We live in Ghent.", "--vault", vault, "--json").stdout)
    system.memosctl("delete", found["hits"][0]["cube"]["name"])
    assert imported(first) == (1, 3, 0)
