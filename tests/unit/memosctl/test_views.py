"""What people see, as plain text."""

import io

from rich.console import Console, RenderableType

from memos_api.v1 import chat_service_pb2, memcube_pb2, memory_service_pb2, provenance_pb2
from memosctl.views import chat, cubes, found, governance, memory_links, provenance, revisions

CUBE = memcube_pb2.MemCube(
    name="tenants/local/cubes/c1",
    state=memcube_pb2.CUBE_STATE_GENERATED,
    plaintext=memcube_pb2.PlaintextPayload(text="My cat [bold]Pickle[/bold]\nis asleep."),
    sources=[memcube_pb2.SourceSpan(message_id="m6", speaker="Nora", event_time={"seconds": 1770000000})],
)


def shown(view: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=120, markup=False, highlight=False, emoji=False)
    console.print(view)
    return console.file.getvalue()


def node(name: str, kind: str, summary: str = "") -> provenance_pb2.ProvenanceNode:
    value = provenance_pb2.ProvenanceNodeKind.Value(f"PROVENANCE_NODE_KIND_{kind}")
    return provenance_pb2.ProvenanceNode(name=name, kind=value, summary=summary)


def edge(source: str, target: str, relation: str, detail: str = "") -> provenance_pb2.ProvenanceEdge:
    value = provenance_pb2.ProvenanceRelation.Value(f"PROVENANCE_RELATION_{relation}")
    return provenance_pb2.ProvenanceEdge(source=source, target=target, relation=value, detail=detail)


def test_a_text_is_shown_as_it_is_on_one_line() -> None:
    response = memory_service_pb2.SearchMemoriesResponse(hits=[{"cube": CUBE, "score": 0.5}])

    text = shown(found.hits(response, time_zone=""))

    assert "My cat [bold]Pickle[/bold] is asleep." in text
    assert "2026-02-02 Nora" in text


def test_a_tree_shows_topic_concept_and_where_a_hit_was_reached_from() -> None:
    other = memcube_pb2.MemCube(
        name="tenants/local/cubes/c2", plaintext=memcube_pb2.PlaintextPayload(text="Pickle likes tuna.")
    )
    origin = {"way": memory_service_pb2.SEARCH_WAY_SHARED_WORDS, "source": CUBE.name, "words": ["Pickle"]}
    response = memory_service_pb2.SearchMemoriesResponse(
        hits=[{"cube": CUBE, "score": 0.5}, {"cube": other, "score": 0.2, "origin": origin}],
        topics=[{"topic": "Nora", "concepts": [{"concept": "Pickle", "facts": [CUBE.name, other.name]}]}],
    )

    lines = [line.strip("│├└─ \n") for line in shown(found.tree(response, time_zone="")).splitlines()]

    assert lines == [
        "Nora", "Pickle", "1 c1  My cat [bold]Pickle[/bold] is asleep.", "2 c2  Pickle likes tuna.  by Pickle from c1"
    ]  # fmt: skip
    assert "nothing found" in shown(found.tree(memory_service_pb2.SearchMemoriesResponse(), time_zone=""))


def test_a_leg_that_did_not_run_says_why() -> None:
    response = memory_service_pb2.SearchMemoriesResponse(
        legs=[{"name": "dense", "ran": False, "reason": "milvus is away"}], degraded=True
    )

    text = shown(found.hits(response, time_zone=""))

    assert "nothing found" in text
    assert "dense: not run (milvus is away)" in text
    assert "degraded" in text


def test_times_are_told_on_the_clock_of_who_speaks_and_of_who_asks() -> None:
    cube = memcube_pb2.MemCube(
        name="tenants/local/cubes/c3",
        plaintext=memcube_pb2.PlaintextPayload(text="I left yesterday."),
        sources=[memcube_pb2.SourceSpan(utc_offset="+02:00")],
    )
    midnight = 1772661600  # 2026-03-05 in a zone two hours ahead
    yesterday = {"text": "yesterday", "start_time": {"seconds": midnight}, "end_time": {"seconds": midnight + 86400}}
    asked = [
        {"text": "before I left", "end_time": {"seconds": midnight}, "counted_from": cube.name},
        {"text": "since 2020", "start_time": {"seconds": 1577836800}},
        {"text": "in May", "yearly": True},
        {"text": "last week", "start_time": {"seconds": midnight - 604800}, "end_time": {"seconds": midnight}},
    ]
    response = memory_service_pb2.SearchMemoriesResponse(hits=[{"cube": cube, "times": [yesterday]}], times=asked)

    text, in_utc = (" ".join(shown(found.hits(response, time_zone=zone)).split()) for zone in ("+02:00", ""))

    assert "I left yesterday. yesterday = 2026-03-05" in text
    told = "before I left = until 2026-03-05 (by c3), since 2020 = from 2020-01-01, in May = every year, last week ="
    assert told in text
    assert "2026-02-26 to 2026-03-04" in text
    assert "last week = 2026-02-25 to 2026-03-04" in in_utc


def test_a_card_leaves_out_what_is_not_set() -> None:
    text = shown(cubes.card(CUBE))

    assert "tenants/local/cubes/c1" in text
    assert "expires" not in text


def test_provenance_is_drawn_from_the_answer_back_to_the_message_and_leaves_out_what_else_became_of_it() -> None:
    graph = provenance_pb2.Provenance(
        root="tenants/local/answers/a1",
        nodes=[
            node("tenants/local/answers/a1", "ANSWER"),
            node("tenants/local/plans/p1", "PLAN"),
            node("tenants/local/cubes/c1", "CUBE", "My cat Pickle"),
            node("messages/s1/m6", "MESSAGE"),
        ],
        edges=[
            edge("tenants/local/plans/p1", "tenants/local/answers/a1", "GENERATED"),
            edge("tenants/local/cubes/c1", "tenants/local/plans/p1", "PLANNED", "rank 1"),
            edge("messages/s1/m6", "tenants/local/cubes/c1", "READ_FROM"),
            edge("tenants/local/cubes/c1", "tenants/local/plans/p2", "PLANNED", "another question"),
            edge("tenants/local/answers/a1", "tenants/local/cubes/c9", "RECORDED"),
        ],
    )

    lines = shown(provenance.tree(graph)).splitlines()

    history, made = lines[:4], lines[4:]
    indents = [len(line) - len(line.lstrip(" │├└─")) for line in history]
    assert indents == sorted(set(indents))
    assert all(word in line for word, line in zip(("answer", "plan", "cube", "message"), history, strict=True))
    assert "planned (rank 1)" in history[2]
    assert "made of it" in made[0]
    assert "c9" in made[1]
    assert "another question" not in "".join(lines)


def test_a_circle_of_derivations_is_drawn_once() -> None:
    graph = provenance_pb2.Provenance(
        root="tenants/local/cubes/c1",
        nodes=[node("tenants/local/cubes/c1", "CUBE"), node("tenants/local/cubes/c2", "CUBE")],
        edges=[
            edge("tenants/local/cubes/c1", "tenants/local/cubes/c2", "DERIVED_FROM"),
            edge("tenants/local/cubes/c2", "tenants/local/cubes/c1", "DERIVED_FROM"),
        ],
        truncated=True,
    )

    text = shown(provenance.tree(graph))

    assert text.count("(see above)") == 2
    assert "--depth" in text


def test_the_memories_of_an_answer_come_with_their_reasons() -> None:
    plan = chat_service_pb2.ChatPlan(chosen=[{"cube": CUBE, "reason": "rank 1: says Pickle"}])

    assert "rank 1: says Pickle" in shown(chat.used(plan))
    assert "no memory was used" in shown(chat.used(chat_service_pb2.ChatPlan()))


def test_times_are_named_in_the_order_in_which_they_pass() -> None:
    assert chat.timings({"total": 1500.0, "plan": 20.4}) == "plan 20 ms, total 1.50 s"


def revision(number: int, text: str = "", **fields: object) -> memcube_pb2.MemCube:
    made = {"update_time": {"seconds": 1770000000 + number}, "parent_revisions": [number - 1] if number > 1 else []}
    payload = memcube_pb2.PlaintextPayload(text=text) if text else None
    return memcube_pb2.MemCube(revision=number, state=1, plaintext=payload, **{**made, **fields})


def test_a_history_says_where_each_revision_comes_from() -> None:
    newest = revision(3, parent_revisions=[2, 1], delete_time={"seconds": 1770000009})

    text = shown(revisions.history([newest, revision(2, frozen=True), revision(1)], "next"))

    assert "2 and 1" in text
    assert "deleted" in text
    assert "generated, frozen" in text
    assert "more: --page-token next" in text


def test_a_difference_shows_the_words_and_the_fields() -> None:
    response = memory_service_pb2.DiffMemoryRevisionsResponse(
        before=revision(1, "Nora lives in Oslo now.", labels={"topic": "home"}, priority=3),
        after=revision(2, "Nora lives in Bergen now.", valid_until={"seconds": 1770000000}, sensitivity_tags=["pii"]),
        changed={"paths": ["labels", "priority", "valid_until", "sensitivity_tags", "state", "plaintext.text"]},
    )

    text = shown(revisions.difference(response))

    assert "revision 1 -> 2" in text
    assert "Nora lives in [-Oslo-] {+Bergen+} now." in text
    assert "topic=home" in text
    assert "pii" in text
    assert "2026-02-02" in text


def test_a_difference_of_nothing_says_so() -> None:
    response = memory_service_pb2.DiffMemoryRevisionsResponse(before=revision(1, "a"), after=revision(1, "a"))

    assert "nothing differs" in shown(revisions.difference(response))


def test_a_value_that_only_a_newer_system_knows_is_unknown() -> None:
    link = memory_service_pb2.MemoryLink(newer="tenants/t/cubes/a", older="tenants/t/cubes/b")
    for number, word in ((4, "restates"), (3, "is unrelated to"), (99, "unknown")):
        link.kind = number  # type: ignore[assignment]
        assert memory_links.sentence(link) == word
    assert governance.role(99) == "unknown"
    assert (governance.role(0), cubes.state_word(memcube_pb2.MemCube(state=99))) == ("", "unknown")
