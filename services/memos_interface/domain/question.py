"""Understands the newest message of a conversation as a call to memory (MemoryCall of MemReader, section 5.1).

No model takes part. A pronoun is resolved by one simple rule: when the question says he, she or they and
names nobody, the name that was said last before it joins the query. Time ranges and slots are not filled.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from memos_kernel import limits

RECALL = "recall"
CHAT = "chat"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_QUOTED = re.compile(r'"([^"\n]{2,60})"|“([^”\n]{2,60})”')
_POSSESSIVE = re.compile(r"['’]s?$")
_SENTENCE_END = frozenset(".!?:\n")

_ASKING = _words("""
    what who whom whose where when why how which do does did is are was were am can could will would should
    has have had tell remind
""")
_PRONOUNS = _words("he him his she her hers they them their theirs")
_NEVER_NAMES = (
    _words("""
    i i'm i'd i'll i've ok okay yes no mr mrs ms dr the a an and or but so if then this that these those it its
    my your our we you hi hello hey thanks please there here not also just well now today tomorrow yesterday let
    let's monday tuesday wednesday thursday friday saturday sunday january february march april may june july
    august september october november december in on at for with from to of as by about after before all every
    some any maybe perhaps because while during until since
""")
    | _ASKING
    | _PRONOUNS
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation; `role` is `user` or `assistant`."""

    role: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryCall:
    """What a message asks of memory.

    Attributes:
        query: text to search for.
        intent: `recall` for a question, `chat` for other talk.
        entities: names in the message, in their order, each once.
        caller: who asks.
        time_zone: in which its times are meant; empty is UTC.
    """

    query: str
    intent: str
    entities: tuple[str, ...] = ()
    caller: str = ""
    time_zone: str = ""


def understand(turns: Sequence[Turn], *, caller: str, time_zone: str = "") -> MemoryCall:
    """Return what the last turn asks of memory, in the light of those before it."""
    text = turns[-1].text.strip()
    entities = names_in(text)
    query = text
    if not entities and _pronouns_in(text):
        antecedent = _last_name(turns[:-1])
        if antecedent and len(f"{text} {antecedent}".encode()) <= limits.QUERY_BYTES:
            entities = (antecedent,)
            query = f"{text} {antecedent}"
    return MemoryCall(
        query=query,
        intent=RECALL if is_question(text) else CHAT,
        entities=entities,
        caller=caller,
        time_zone=time_zone,
    )


def is_question(text: str) -> bool:
    """Return whether a text asks: by its mark, or by its first word."""
    words = _WORD.findall(text)
    return text.rstrip().endswith("?") or (bool(words) and words[0].casefold() in _ASKING)


def names_in(text: str) -> tuple[str, ...]:
    """Return quoted titles, and capitalised words that are no function words; neighbours make one name."""
    found = [next(filter(None, match.groups())) for match in _QUOTED.finditer(text)]
    rest = _QUOTED.sub(",", text)
    current: list[str] = []
    end = 0
    for match in _WORD.finditer(rest):
        between = rest[end : match.start()]
        word = _POSSESSIVE.sub("", match[0])
        if current and between.strip():
            found.append(" ".join(current))
            current = []
        if _is_name(word, opens=end == 0 or not _SENTENCE_END.isdisjoint(between)):
            current.append(word)
        elif current:
            found.append(" ".join(current))
            current = []
        if current and word != match[0]:  # "Nora's cat": the possessive ends the name
            found.append(" ".join(current))
            current = []
        end = match.end()
    if current:
        found.append(" ".join(current))
    return tuple(dict.fromkeys(found))


def _is_name(word: str, *, opens: bool) -> bool:
    if not word[0].isupper() or word.casefold() in _NEVER_NAMES:
        return False
    return not opens or len(word) > 1


def _pronouns_in(text: str) -> bool:
    return any(word.casefold() in _PRONOUNS for word in _WORD.findall(text))


def _last_name(turns: Sequence[Turn]) -> str:
    for turn in reversed(turns):
        names = names_in(turn.text)
        if names:
            return names[-1]
    return ""
