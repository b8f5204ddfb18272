"""Words of a text as the lexical index counts them: stems, and characters and pairs of them where nothing is spaced."""

import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

import snowballstemmer

from memos_kernel.cube import MemCube
from memos_kernel.embedding import is_named
from memos_storage.domain.bm25 import QUERY_TERMS
from memos_storage.domain.pool import QueryPlaces

TERM_CHARS = 64
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_DIGIT = re.compile("[0-9]")
_CODE = re.compile(r"(?=.*[0-9])[a-z0-9]{4,}")
_UNITS = """
    st nd rd th am pm h hr hour m min minut s sec second ms day week month mo year yr yo
    mm cm km mi mile ft feet inch in yd mg mcg g kg t lb oz ml cl dl l liter litr cup
    k mn bn p px fps dpi mp kb mb gb tb bit byte hz khz mhz ghz w kw kwh wh mah watt volt
    kph kmh mph cal kcal kj usd eur gbp chf euro dollar percent step
"""
_PLAIN = re.compile(
    rf"""(?:1[0-9]|20)[0-9]{{2}}s?   # years, and the time as 1645
    | [0-9]+00                       # round numbers count something
    | [0-9]{{1,3}}[cfdvx]             # degrees, days, volts, times
    | [0-9]+(?:{"|".join(_UNITS.split())})s?""",
    re.VERBOSE,
)
"""Terms, and so stems, that tell when, how much or the how-manieth."""
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]+")

_STOP_WORDS = """
    a about after again all also am an and any are as at be because been before being but by can could
    did do does doing don't for from had has have having he her here hers him his how i i'm i've if in
    into is it it's its just me more most my no nor not of off on once only or other our ours out over
    own same she so some such than that that's the their theirs them then there these they this those
    through to too under until up very was we were what when where which while who whom why will with
    would you you're your yours
"""

STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words that tell nothing about a text."""

_FUNCTION_WORDS = frozenset(
    [
        *"的了着著过過得地是在有和与與及或也都就才还還又很不没沒吗嗎呢吧啊呀嘛把被让讓给給向从從到对對为為而但",
        *"我你您他她它们們这這那哪些个個什么麼怎谁誰几",
        *("什么", "什麼", "怎么", "怎麼", "我们", "我們", "你们", "你們", "他们", "他們", "她们", "她們"),
        *("这个", "這個", "那个", "那個", "哪个", "哪個", "这些", "這些", "那些", "哪些", "是的", "了吗", "了嗎"),
    ]
)
"""Chinese characters and pairs that tell nothing of a text."""

_STEMMER = snowballstemmer.stemmer("english")
_LOCK = threading.Lock()


def terms(text: str) -> list[str]:
    """Return the terms of a text in their order, at most `TERM_CHARS` characters each."""
    found: list[str] = []
    for match in _WORD.finditer(unicodedata.normalize("NFKC", text).casefold()):
        word = match[0].replace("’", "'")
        if word in STOP_WORDS:
            continue
        last = 0
        for run in _UNSPACED.finditer(word):
            _add_word(word[last : run.start()], found)
            found.extend(_unspaced(run[0]))
            last = run.end()
        _add_word(word[last:], found)
    return found


def frequencies(cube: MemCube) -> Counter[str]:
    """Return how often each term is in a cube: its text, and the name of each speaker once."""
    counted = Counter(terms(cube.text))
    for speaker in {source.speaker for source in cube.sources if is_named(source)}:
        counted.update(terms(speaker))
    return counted


def wanted_terms(query: str) -> list[str]:
    """Return the different terms of a query that are looked up, in their order."""
    return list(dict.fromkeys(terms(query)))[:QUERY_TERMS]


def query_places(query: str, wanted: Sequence[str], words: Sequence[str]) -> QueryPlaces:
    """Return where some terms are among those that are wanted.

    Identifiers are numbers and codes but for years, times, round numbers and amounts. A name is written with a capital,
    and not the first word.

    Args:
        query: as it was asked.
        wanted: its terms.
        words: the word of each of its tokens.
    """
    places = {term: place for place, term in enumerate(wanted)}
    written = [match[0] for match in _WORD.finditer(unicodedata.normalize("NFKC", query))]
    names = {term for word in written[1:] if word[0].isupper() for term in terms(word)}
    return QueryPlaces(
        words=tuple(tuple(places[term] for term in terms(word) if term in places) for word in words),
        identifiers=tuple(
            place for term, place in places.items() if _CODE.fullmatch(term) and not _PLAIN.fullmatch(term)
        ),
        particulars=tuple(place for term, place in places.items() if term in names or _DIGIT.search(term)),
    )


def written(text: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """Return some terms as a text writes them where it first has each; a term that it has not is left out."""
    found: dict[str, str] = {}
    for match in _WORD.finditer(unicodedata.normalize("NFKC", text)):
        for term in terms(match[0]):
            found.setdefault(term, term if _UNSPACED.search(match[0]) else match[0])
        if found.keys() >= set(wanted):
            break
    return tuple(found[term] for term in wanted if term in found)


def _unspaced(run: str) -> Iterator[str]:
    """Yield the characters of a run and the pairs of neighbours, without those that tell nothing."""
    for part in (*run, *(run[index : index + 2] for index in range(len(run) - 1))):
        if part not in _FUNCTION_WORDS:
            yield part


def _add_word(word: str, found: list[str]) -> None:
    if word:  # a number has no stem, and there are many of them
        found.append((word if word.isdigit() else _stem(word.removesuffix("'s")))[:TERM_CHARS])


@lru_cache(maxsize=50_000)
def _stem(word: str) -> str:
    with _LOCK:  # the stemmer keeps state
        return str(_STEMMER.stemWord(word))
