"""Orders in which candidates are tried."""

from datetime import UTC, datetime, timedelta

import pytest

from memos_kernel.cube import Usage
from memos_scheduler.domain.policies import SimilarityPolicy, UsagePolicy, heat_at

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def order(policy, candidates):
    return [preference.candidate.cube.text for preference in policy.order(candidates, now=NOW)]


@pytest.mark.parametrize("policy", [SimilarityPolicy(), UsagePolicy()])
def test_a_policy_neither_loses_nor_invents_candidates(policy, make_candidate):
    candidates = [make_candidate(text, days_ago=3) for text in "abcdef"]

    assert sorted(order(policy, candidates)) == list("abcdef")
    assert order(policy, []) == []


def test_similarity_keeps_the_order_of_retrieval(make_candidate):
    assert order(SimilarityPolicy(), [make_candidate(text) for text in "cab"]) == ["c", "a", "b"]


def test_with_all_else_equal_usage_keeps_the_order_of_retrieval(make_candidate):
    assert order(UsagePolicy(), [make_candidate(text, days_ago=3) for text in "cab"]) == ["c", "a", "b"]


def test_a_memory_in_use_passes_a_slightly_more_similar_one(make_candidate):
    candidates = [make_candidate(text, days_ago=3) for text in "abcdefgh"]
    hot = make_candidate("hot", days_ago=3, usage=Usage(hits=9, last_used_time=NOW, heat=9.0))

    assert order(UsagePolicy(), [*candidates[:2], hot, *candidates[2:]])[0] == "a"
    assert order(UsagePolicy(), [*candidates[:2], hot, *candidates[2:]])[1] == "hot"


def test_a_memory_of_high_priority_passes_a_slightly_more_similar_one(make_candidate):
    candidates = [make_candidate(text, days_ago=3) for text in "abcdefghijklmnopqrst"]
    urgent = make_candidate("urgent", days_ago=3, priority=100)

    assert order(UsagePolicy(), [candidates[0], urgent, *candidates[1:]])[0] == "urgent"


def test_heat_halves_every_seven_days(make_candidate):
    cube = make_candidate("a", usage=Usage(hits=4, last_used_time=NOW - timedelta(days=14), heat=4.0)).cube

    assert heat_at(cube, now=NOW) == pytest.approx(1.0)
    assert heat_at(make_candidate("never used").cube, now=NOW) == 0.0
