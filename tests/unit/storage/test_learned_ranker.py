"""A trained ranker: its file, and what it does to a search."""

import json
from dataclasses import replace

import numpy as np
import pytest

from memos_runtime.loading import ConfigError
from memos_storage.adapters.ranker_file import read_ranker, write_ranker
from memos_storage.domain.learned import FEATURE_SET, RANKED, LearnedRanker, columns_of

COLUMNS = 2 * len(FEATURE_SET)


def ranker(*, seed=1, units=3):
    random = np.random.default_rng(seed)
    return LearnedRanker(
        mean=random.normal(size=COLUMNS),
        spread=random.uniform(0.5, 2, size=COLUMNS),
        direct=random.normal(size=COLUMNS),
        hidden=random.normal(size=(units, COLUMNS)),
        bias=random.normal(size=units),
        out=random.normal(size=units),
    )


def by_the_length(sign):
    """A ranker that goes by the length of a text alone."""
    direct = np.zeros(COLUMNS)
    direct[FEATURE_SET.index("length")] = sign
    nothing = np.zeros((0, COLUMNS))
    return LearnedRanker(np.zeros(COLUMNS), np.ones(COLUMNS), direct, nothing, np.zeros(0), np.zeros(0))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "ranker.json"
    write_ranker(ranker(), path)
    return path


def changed(path, **parts):
    path.write_text(json.dumps({**json.loads(path.read_text()), **parts}))
    return path


def test_a_file_gives_back_the_same_scores(file):
    features = {"length": np.array([1.0, 2.0, 0.5]), "dense": np.array([0.1, 0.9, 0.3])}
    scores = np.array([3.0, 1.0, 2.0])
    assert read_ranker(file)(features, scores) == pytest.approx(ranker()(features, scores))


def test_columns_are_values_and_z_scores():
    columns = columns_of(np.array([[1.0, 5.0], [3.0, 5.0]]))
    assert columns.tolist() == [[1, 5, -1, 0], [3, 5, 1, 0]]


def test_one_of_other_features_is_refused_by_their_names(file):
    features = ["sine" if name == "dense" else name for name in FEATURE_SET]
    with pytest.raises(ConfigError, match=r"storage\.ranker_file: .*it lacks dense; it has sine.*--train-ranker"):
        read_ranker(changed(file, features=features))
    with pytest.raises(ConfigError, match="their order differs"):
        read_ranker(changed(file, features=FEATURE_SET[::-1]))


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"format": "memos-ranker-0"}, "no ranker: format: Input should be 'memos-ranker-1'"),
        ({"features": None}, "no ranker: features: "),
        ({"direct": [1.0]}, f"direct has 1 numbers, which have to be {COLUMNS}"),
        ({"hidden": [[0.0] * COLUMNS]}, "hidden has 1 numbers, which have to be 3"),
        ({"hidden": [[0.0] * COLUMNS] * 2 + [[0.0]]}, r"hidden\.2 has 1 numbers"),
        ({"bias": 1.0}, "bias: "),
        ({"mean": [float("nan")] * COLUMNS}, r"mean\.0: Input should be a finite number"),
        ({"spread": [0.0] * COLUMNS}, r"spread\.0: Input should be greater than 0"),
        ({"out": ["x", 1, 2]}, r"out\.0: "),
        ({"out": {"a": 1}}, "out: "),
    ],
)
def test_what_is_no_ranker_is_refused(file, parts, told):
    with pytest.raises(ConfigError, match=told):
        read_ranker(changed(file, **parts))


def test_what_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_ranker(tmp_path / "none.json")
    for content in (b"\xff\xfe", b"{", b"[1]", b"[" * 100_000):
        (tmp_path / "ranker.json").write_bytes(content)
        with pytest.raises(ConfigError):
            read_ranker(tmp_path / "ranker.json")


async def test_a_search_is_ordered_by_it_unless_the_query_leaves_it_out(world):
    lines = ["heron", "a heron stands there", "a heron stands there in the reeds and waits for a fish"]
    for line in lines:
        await world.add(line, seed=1)
    plain = await world.search("heron")
    assert [result.name for result in plain.stages][-3:] == ["sessions", "identifiers", "updates"]
    for sign, wanted in ((1.0, lines[::-1]), (-1.0, lines)):
        rank = replace(world.search_cubes.rank, ranker=by_the_length(sign))
        world.search_cubes = replace(world.search_cubes, rank=rank)
        found = await world.search("heron")
        assert [hit.cube.text for hit in found.hits] == wanted
        assert [hit.fused.score for hit in found.hits] == sorted((hit.fused.score for hit in found.hits), reverse=True)
        assert [result.name for result in found.stages][-3:] == ["ranker", "identifiers", "updates"]
        assert found.stages[-3].ran
    without = await world.search("heron", without=frozenset({"ranker"}))
    assert [hit.cube.text for hit in without.hits] == [hit.cube.text for hit in plain.hits]


async def test_it_orders_only_the_first(world):
    for number in range(2 * RANKED):
        rare = "heron " if number < RANKED + 10 else ""
        await world.add(f"{rare}heron {'reed ' * (number % 40)}{number}", seed=1)
    plain = await world.search("heron", top_k=2 * RANKED)
    assert plain.hits[RANKED].fused.score > 0
    world.search_cubes = replace(world.search_cubes, rank=replace(world.search_cubes.rank, ranker=by_the_length(1.0)))
    found = await world.search("heron", top_k=2 * RANKED)
    before, after = ([hit.cube.text for hit in one.hits] for one in (plain, found))
    assert set(after[:RANKED]) == set(before[:RANKED])
    assert after[:RANKED] != before[:RANKED]
    assert after[RANKED:] == before[RANKED:]
