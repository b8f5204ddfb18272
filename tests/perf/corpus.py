"""Texts to measure with: distinct, of the length of a chat turn, the same at every run."""

import random

_PEOPLE = [
    "Nadia",
    "Oskar",
    "Priya",
    "Mateo",
    "Ingrid",
    "Tarek",
    "Salome",
    "Bruno",
    "Yuki",
    "Femi",
    "Clara",
    "Anders",
    "Leila",
    "Hugo",
    "Mina",
    "Pavel",
]
_VERBS = [
    "bought",
    "sold",
    "repaired",
    "painted",
    "visited",
    "lost",
    "found",
    "borrowed",
    "cooked",
    "planted",
    "photographed",
    "recommended",
]
_THINGS = [
    "bicycle",
    "teapot",
    "violin",
    "tent",
    "kayak",
    "lamp",
    "carpet",
    "camera",
    "jacket",
    "bookshelf",
    "guitar",
    "oven",
    "scooter",
    "clock",
    "rucksack",
    "telescope",
    "mirror",
    "blanket",
    "kettle",
    "sculpture",
    "radio",
    "piano",
    "hammock",
    "drone",
    "globe",
    "compass",
    "easel",
    "lantern",
]
_KINDS = [
    "green",
    "wooden",
    "second-hand",
    "broken",
    "tiny",
    "enormous",
    "antique",
    "folding",
    "silver",
    "striped",
    "cheap",
    "waterproof",
]
_PLACES = [
    "Lisbon",
    "Tartu",
    "Ghent",
    "Oaxaca",
    "Bergen",
    "Kyoto",
    "Tbilisi",
    "Valencia",
    "Leeds",
    "Graz",
    "Porto",
    "Riga",
    "Dakar",
    "Cusco",
    "Nantes",
    "Trieste",
]
_WHY = (
    "because the old one fell apart",
    "after talking about it for months",
    "and told everybody at dinner",
    "on the way back from work",
    "although it rained all day",
    "as a present for the neighbours",
    "and paid less than expected",
    "right before the holidays",
)


def texts(count: int, *, seed: int = 7) -> list[str]:
    """Return `count` distinct sentences of 14 to 22 words."""
    chooser = random.Random(seed)
    return [
        f"{chooser.choice(_PEOPLE)} {chooser.choice(_VERBS)} a {chooser.choice(_KINDS)} {chooser.choice(_THINGS)} in "
        f"{chooser.choice(_PLACES)} {chooser.choice(_WHY)}, receipt number {seed}{number:06d}"
        for number in range(count)
    ]


def queries(count: int, *, seed: int = 11) -> list[str]:
    """Return `count` questions about such sentences."""
    chooser = random.Random(seed)
    return [
        f"Which {chooser.choice(_THINGS)} did {chooser.choice(_PEOPLE)} get in {chooser.choice(_PLACES)}?"
        for _ in range(count)
    ]
