"""Diaries of three friends: what was when is told in words such as `last Friday`, and asked by date or by an event."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import compress

from eval_data import Conversation, Question, Turn

_PEOPLE = ("Mira", "Tobias", "Selma")
_DONE = {
    "watched": (
        "I watched {thing} {when}, at the small cinema.",
        "Which film did {person} watch",
        ("The Paper Lighthouse", "Seven Winters", "A Map of Rain", "Copper Sky", "The Last Ferry", "Quiet Engines",
         "Orchard Street", "The Glass Harbour", "Northern Line", "Blue Hour", "The Tin Parade", "Slow Thunder"),
    ),
    "visited": (
        "I took the train to {thing} {when} and walked around all day.",
        "Which town did {person} visit",
        ("Ghent", "Turku", "Bergen", "Trieste", "Porto", "Split", "Nantes", "Galway", "Bari", "Graz", "Lund", "Siena"),
    ),
    "cooked": (
        "I cooked {thing} for the neighbours {when}, and nothing was left.",
        "Which dish did {person} cook for the neighbours",
        ("ramen", "paella", "borscht", "moussaka", "goulash", "risotto", "tagine", "laksa", "gumbo", "ceviche",
         "biryani", "shakshuka"),
    ),
}  # fmt: skip
_EVENTS = (
    ("I broke my arm {when}, on the icy steps.", "{they} broke {their} arm"),
    ("My sister had her wedding {when}, in the botanical garden.", "the wedding of {their} sister"),
    ("I adopted a greyhound {when}, from the shelter.", "{they} adopted the greyhound"),
    ("I handed in my notice {when}.", "{they} handed in {their} notice"),
)
_THEY = {"Mira": ("she", "her"), "Tobias": ("he", "his"), "Selma": ("she", "her")}
_CHAT = (
    "The rain does not stop.", "My bicycle squeaks again.", "The bakery has new rolls.",
    "I could sleep for ages.", "The neighbours are painting their fence.", "Have you seen my umbrella?",
    "The tram was late again.", "I still have to water the plants.",
)  # fmt: skip
_BEGIN = datetime(2025, 1, 6, 19, 0, tzinfo=UTC)
_APART = timedelta(days=9)
"""Between two things of one sort that a person does; what is told of them is told up to six days later."""


def dated_notes(seed: int = 1) -> Conversation:
    """Return a year of diaries with the questions to them, by category `date`, `distance` and `side`."""
    rng = random.Random(seed)
    turns: list[Turn] = []
    questions: list[Question] = []
    for person in _PEOPLE:
        for sort, (said, asked, things) in _DONE.items():
            days = _days(rng, len(things))
            for number, (thing, day) in enumerate(zip(rng.sample(things, len(things)), days, strict=True)):
                id = f"{person}:{sort}:{number}"
                turns.append(_told(rng, id, person, said.replace("{thing}", thing), day))
                date = f"{day.day} {day:%B %Y}"
                questions.append(Question(f"{asked.format(person=person)} on {date}?", frozenset({id}), "date"))
            questions += _by_event(rng, person, sort, asked, days, turns)
        turns += _small_talk(rng, person)
    turns.sort(key=lambda turn: (turn.time, turn.id))
    return Conversation("diaries", turns, questions)


def _days(rng: random.Random, count: int) -> list[datetime]:
    return [_BEGIN + number * _APART + timedelta(days=rng.randrange(3)) for number in range(count)]


def _by_event(
    rng: random.Random, person: str, sort: str, asked: str, days: list[datetime], turns: list[Turn]
) -> Iterator[Question]:
    """Tell of an event some weeks before one of the days, and ask for what was then, and for all before or after it."""
    number = list(_DONE).index(sort)
    said, event = _EVENTS[(number + _PEOPLE.index(person)) % len(_EVENTS)]
    event = event.format(they=_THEY[person][0], their=_THEY[person][1])
    asked = asked.format(person=person)
    place, (weeks, count) = rng.randrange(4, len(days) - 3), rng.choice([(2, "two weeks"), (3, "three weeks")])
    happened = days[place] - timedelta(weeks=weeks)
    turns.append(_told(rng, f"{person}:{sort}:event", person, said, happened))
    ids = [f"{person}:{sort}:{number}" for number in range(len(days))]
    yield Question(f"{asked} {count} after {event}?", frozenset({ids[place]}), "distance")
    for side in ("before", "after"):
        apart = [day != happened and (day > happened) is (side == "after") for day in days]
        yield Question(f"{asked} {side} {event}?", frozenset(compress(ids, apart)), "side")


def _told(rng: random.Random, id: str, person: str, said: str, day: datetime) -> Turn:
    """Return what is said of a day up to six days later, with the day in words."""
    later = rng.randrange(7)
    time = day + timedelta(days=later, minutes=rng.randrange(120))
    words = {0: ("today", "this afternoon"), 1: ("yesterday",), 2: ("the day before yesterday", "two days ago")}
    name = f"{day:%A}"
    choices = words.get(
        later, (f"last {name}", f"on {name}", f"{('three', 'four', 'five', 'six')[later - 3]} days ago")
    )
    return _turn(id, person, time, said.format(when=rng.choice(choices)))


def _small_talk(rng: random.Random, person: str) -> Iterator[Turn]:
    for number in range(60):
        time = _BEGIN + timedelta(days=rng.randrange(115), minutes=rng.randrange(150))
        yield _turn(f"{person}:chat:{number}", person, time, rng.choice(_CHAT))


def _turn(id: str, person: str, time: datetime, text: str) -> Turn:
    return Turn(id, person, "user", time.date().isoformat(), time, text)
