# ruff: noqa: S311  (phrasings need no secure randomness)
"""How to ask an adapter for its facts later: the questions go along in its file, the answers do not."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from memos_inference.domain.recovery import PHRASINGS, VALUE, Probe
from memos_inference.tiny_model.grammar import Fact, capitalised, render
from memos_inference.tiny_model.speech import Speech
from memos_inference.tiny_model.words import Vocabulary

_TRIED = 40


def probes_of(facts: Sequence[Fact]) -> list[Probe]:
    """Return how to ask for facts, in phrasings that the training has."""
    rng, speech = random.Random(0), Speech(Vocabulary(heldout=False), heldout=False)
    return [_probe(rng, speech, fact) for fact in facts]


def _probe(rng: random.Random, speech: Speech, fact: Fact) -> Probe:
    open_ = replace(fact, value=VALUE)
    said = capitalised(render(fact.relation.say[0], open_, name=fact.subject.name, first=False), keep=VALUE)
    drawn = (speech.question(rng, open_, answer="", kind="value").text for _ in range(_TRIED))
    return Probe(f"{said}.", tuple(dict.fromkeys(drawn))[:PHRASINGS])
