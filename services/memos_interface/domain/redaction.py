"""Finds what identifies people in texts, by form and check digits, and puts the name of its kind in its place."""

import hashlib
import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import IntEnum

import phonenumbers

from memos_kernel.cube import MemCube, Plaintext, SourceSpan, content_hash, fingerprint


class Redaction(IntEnum):
    """What is looked for; the numbers are those of the contract."""

    EMAIL = 1
    PHONE = 2
    CARD = 3
    IBAN = 4
    IP = 5


_EMAIL = re.compile(
    r"[^\s@<>()\[\],;:\"]{1,64}@(?:[^\s@<>()\[\],;:\"'.]{1,63}\.)+(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,63})"
)
_CARD = re.compile(r"(?<!\d)(?<!\d[ .\u00a0-])\d(?:[ .\u00a0-]?\d){12,18}")
_CARD_DIGITS = range(19, 12, -1)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}")
_IBAN_SIGNS = range(34, 14, -1)
_IP = re.compile(
    r"(?<![\w.])(?:(?:[0-9a-fA-F]{0,4}:){2,7}(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F]{0,4})|(?:\d{1,3}\.){3}\d{1,3})"
    r"(?![\w])(?!\.\d)"
)
_MADE_ID = re.compile(r"m-[0-9a-f]{16}")
"""Id of a message that has none, made of its text: the text could be guessed from it."""

Span = tuple[int, int]


def redacted(cube: MemCube, kinds: frozenset[Redaction]) -> MemCube:
    """Return a text cube without what identifies people in its text, labels and sources."""
    if not kinds or not isinstance(cube.payload, Plaintext):
        return cube
    language = cube.payload.language

    def clean(text: str) -> str:
        return without(text, kinds, language=language)

    payload = replace(cube.payload, text=clean(cube.text))
    made = f"m-{hashlib.sha256(payload.text.encode()).hexdigest()[:16]}"
    sources = tuple(_cleaned(source, clean, made) for source in cube.sources)
    return replace(
        cube,
        payload=payload,
        sources=sources,
        labels={key: clean(value) for key, value in cube.labels.items()},
        fingerprint=fingerprint(payload.text),
        content_hash=content_hash(payload, sources),
    )


def without(text: str, kinds: frozenset[Redaction], *, language: str = "") -> str:
    """Return a text in which what was found is replaced by its kind; `language` may name a region, as `en-GB` does."""
    for kind in _ORDER:
        if kind in kinds:
            spans = _phones(text, language) if kind is Redaction.PHONE else _FINDERS[kind](text)
            for begin, end in reversed(list(spans)):
                text = f"{text[:begin]}[{kind.name.lower()}]{text[end:]}"
    return text


def _cleaned(source: SourceSpan, clean: Callable[[str], str], made: str) -> SourceSpan:
    return replace(
        source,
        message_id=made if _MADE_ID.fullmatch(source.message_id) else clean(source.message_id),
        speaker=clean(source.speaker),
        session=clean(source.session),
    )


def _emails(text: str) -> Iterator[Span]:
    return (match.span() for match in _EMAIL.finditer(text))


def _phones(text: str, language: str) -> Iterator[Span]:
    region = language.rpartition("-")[2].upper()
    known = region if "-" in language and region in phonenumbers.SUPPORTED_REGIONS else None
    return ((found.start, found.end) for found in phonenumbers.PhoneNumberMatcher(text, known))


def _cards(text: str) -> Iterator[Span]:
    return _longest(_CARD, text, lengths=_CARD_DIGITS, fits=_luhn)


def _ibans(text: str) -> Iterator[Span]:
    return _longest(_IBAN, text, lengths=_IBAN_SIGNS, fits=_mod_97)


def _longest(pattern: re.Pattern[str], text: str, *, lengths: range, fits: Callable[[str], bool]) -> Iterator[Span]:
    """Yield where a number begins, to the end of the longest one whose check digits fit; more may stand behind it."""
    start = 0
    while (match := pattern.search(text, start)) is not None:
        signs = [place for place in range(*match.span()) if text[place].isalnum()]
        numbers = (signs[:length] for length in lengths if length <= len(signs))
        found = next((one for one in numbers if fits("".join(text[place] for place in one).upper())), None)
        if found is not None:
            yield found[0], found[-1] + 1
        start = match.start() + 1 if found is None else found[-1] + 1


def _addresses(text: str) -> Iterator[Span]:
    return (match.span() for match in _IP.finditer(text) if _is_address(match[0]))


def _luhn(digits: str) -> bool:
    """Return whether the check digit of ISO/IEC 7812-1 fits."""
    doubled = (int(digit) * (1 + position % 2) for position, digit in enumerate(reversed(digits)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _mod_97(account: str) -> bool:
    """Return whether the check digits of ISO 13616 fit."""
    return int("".join(str(int(sign, 36)) for sign in account[4:] + account[:4])) % 97 == 1


def _is_address(text: str) -> bool:
    if not any(sign.isalnum() for sign in text):
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_FINDERS: dict[Redaction, Callable[[str], Iterator[Span]]] = {
    Redaction.EMAIL: _emails,
    Redaction.CARD: _cards,
    Redaction.IBAN: _ibans,
    Redaction.IP: _addresses,
}
_ORDER = (Redaction.EMAIL, Redaction.IBAN, Redaction.CARD, Redaction.IP, Redaction.PHONE)
"""What could be taken for a telephone number comes before these."""
