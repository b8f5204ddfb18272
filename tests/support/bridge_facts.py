"""Notes of which two together answer a question: the second shares only a name with the first, and it is not asked."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from eval_data import Conversation, Question, Turn

_PEOPLE = (
    "Amira", "Benno", "Chiara", "Dmitri", "Elif", "Farid", "Greta", "Hamza", "Ilse", "Jonas", "Keiko", "Lars",
)  # fmt: skip
_BRIDGES = (
    (
        "{person} has started at {name} as an apprentice.",
        "{name} has its workshop in {value}, behind the old harbour.",
        "In which town does {person} work?",
        ("Kestrel Labs", "Brightwater", "Ovenbird Press", "Tallow & Sons", "Quillon", "Fernhill Tools",
         "Marrow Glass", "Saltmarsh", "Hazelgate", "Pinchbeck Clocks", "Dunlin Boats", "Copperfold"),
        ("Bergen", "Porto", "Ghent", "Turku", "Izmir", "Galway", "Trieste", "Lübeck", "Nantes", "Split", "Gdynia",
         "Bari"),
    ),
    (
        "The sister of {person} is called {name}.",
        "{name} plays the {value} in a small band.",
        "Which instrument does the sister of {person} play?",
        ("Odile", "Perpetua", "Quirina", "Rosamund", "Sunniva", "Thekla", "Ursina", "Violetta", "Wilhelmina", "Xenia",
         "Yolanda", "Zdenka"),
        ("cello", "oboe", "trumpet", "harp", "viola", "bassoon", "accordion", "mandolin", "flute", "tuba", "banjo",
         "zither"),
    ),
    (
        "{person} has put a name down for the {name}.",
        "The {name} takes place every {value}, whatever the weather.",
        "In which month is the race that {person} takes part in?",
        ("Ridgeway Relay", "Harrier Dash", "Cinder Trail", "Loftus Mile", "Bramble Run", "Slate Hill Climb",
         "Otter Sprint", "Windlass Cup", "Juniper Loop", "Gorse Chase", "Anvil Marathon", "Teasel Trot"),
        ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
         "December"),
    ),
)  # fmt: skip


def bridge_facts(seed: int = 1) -> Conversation:
    """Return 72 notes and 36 questions, each answered by two of the notes."""
    rng = random.Random(seed)
    notes, questions = [], []
    for first, second, question, names, values in _BRIDGES:
        drawn = (rng.sample(items, len(items)) for items in (_PEOPLE, names, values))
        for person, name, value in zip(*drawn, strict=True):
            ids = [f"{name}:{number}" for number in (1, 2)]
            filled = [text.format(person=person, name=name, value=value) for text in (first, second, question)]
            notes += zip(ids, filled, strict=False)
            questions.append(Question(filled[-1], frozenset(ids), "two hops"))
    rng.shuffle(notes)
    return Conversation("bridges", list(_turns(notes)), questions)


def _turns(notes: list[tuple[str, str]]) -> Iterator[Turn]:
    begin = datetime(2025, 3, 1, 9, 0, tzinfo=UTC)
    for number, (id, text) in enumerate(notes):
        yield Turn(id, "", "user", "", begin + timedelta(hours=number), text)
