"""What an embedder reads of a cube."""

import pytest

from memos_kernel import limits
from memos_kernel.cube import Kind, MemCube, Plaintext, SourceSpan
from memos_kernel.embedding import embedded_text
from memos_kernel.names import CubeName, VaultName


def cube(text, *sources):
    name = CubeName("acme", "c")
    return MemCube(
        name=name, vault=VaultName("acme", "main"), kind=Kind.PLAINTEXT, payload=Plaintext(text), sources=sources
    )


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ((), "I moved."),
        ((SourceSpan(speaker="Nora", role="user"),), "Nora: I moved."),
        ((SourceSpan(speaker="user", role="user"),), "I moved."),
        ((SourceSpan(speaker="Assistant"),), "I moved."),
        ((SourceSpan(speaker="Nora"), SourceSpan(speaker="Tom"), SourceSpan(speaker="Nora")), "Nora, Tom: I moved."),
        (tuple(SourceSpan(speaker=name) for name in "ABCDE"), "A, B, C: I moved."),
    ],
)
def test_the_speaker_comes_first(sources, expected):
    assert embedded_text(cube("I moved.", *sources)) == expected


def test_the_longest_text_still_fits_with_its_speaker():
    told = embedded_text(cube("€" * (limits.TEXT_BYTES // 3), SourceSpan(speaker="Nora")))
    assert told.startswith("Nora: €")
    assert limits.TEXT_BYTES - 3 < len(told.encode()) <= limits.TEXT_BYTES


def test_another_text_can_take_the_place_of_the_cubes_own():
    assert embedded_text(cube("old", SourceSpan(speaker="Nora")), "new") == "Nora: new"
