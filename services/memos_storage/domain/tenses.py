"""Whether a sentence tells of what has been or of what will be, as far as a day in it leaves that open."""

import re
from enum import Enum, auto


class Tense(Enum):
    """Of the words nearest to a phrase."""

    PAST = auto()
    PRESENT = auto()
    FUTURE = auto()
    OPEN = auto()


_PAST = (
    "was|were|did|(?:was|were|did|had|could)n['’]t|had|been|went|gone|got|took|made|saw|met|came|left|began|bought|won"
    "|lost|flew|broke|ran|spent|gave|ate|told|said|found|felt|wrote|drove|slept|swam|sang|drank|spoke|taught|caught|thought|brought|built|sent|sold"
    "|paid|kept|held|heard|knew|grew|drew|threw|wore|fell|rode|rose|woke|chose|hid|sat|stood|understood|became|lent"
    "|fought|sought|stole|hung|shook|bit|lay|led"
)
_UNCHANGED = "(?:read|put|cut|hurt|quit)"
"""Verbs of which the past is like what stands behind `to` or `will`."""
_NO_VERBS = "need|indeed|feed|bed|red|shed|speed|seed|weed|breed|greed|excited|married|tired|bored|interested|hundred"
_TELLS = re.compile(
    rf"\bto\s+{_UNCHANGED}\b|(?P<past>\b(?:{_PAST}|{_UNCHANGED}|(?!(?:{_NO_VERBS})\b)\w{{2,}}ed)\b|了|过)"
    rf"|(?P<future>(?:\bwill|['’]ll|\bcan|\bmust|\bshould|\bdo|\bdoes)(?:\s+\w+)?\s+{_UNCHANGED}\b"
    r"|\b(?:will|won['’]t|going to|gonna|plan(?:s|ning)?(?= to| on)|hop(?:e|es|ing)|upcoming|can['’]t wait"
    r"|looking forward|scheduled|about to|(?:see|meet|call) (?:you|me|us)|join (?:me|us))\b"
    r"|['’]ll\b|['’]d (?:like|love|be)\b|要|会|将)"
    r"|(?P<present>\b(?:is|are|am|has|have|leaves?|starts?|begins?|opens?|ends?|takes? place|remind|needs?"
    r"|let['’]s|must|should|can|due|deadline)\b|['’](?:m|re|s)(?= ))",
    re.IGNORECASE,
)
_BEHIND = 2
"""How much farther a word behind the phrase counts than one before it, which more often belongs to it."""
_SENTENCE_END = re.compile(r"[.!?;\n。！？；]")
_SENTENCE = 300
"""Characters around a phrase that its sentence is looked for in."""


def tense_around(text: str, start: int, end: int) -> Tense:
    """Return the tense of the words that are nearest to characters `start` to before `end`, within their sentence."""
    first, last = max(0, start - _SENTENCE), end + _SENTENCE
    for stop in _SENTENCE_END.finditer(text, first, start):
        first = stop.end()
    behind = _SENTENCE_END.search(text, end, last)
    nearest, tense = _SENTENCE, Tense.OPEN
    for match in _TELLS.finditer(text, first, last if behind is None else behind.start()):
        far = start - match.end() if match.end() <= start else _BEHIND * (match.start() - end)
        if match.lastgroup is not None and 0 <= far < nearest:
            nearest, tense = far, Tense[match.lastgroup.upper()]
    return tense
