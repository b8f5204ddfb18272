"""Numbers as people write them before a unit: `two`, `thirty-five`, `a couple of`, 十二."""

_VAGUE = {
    "a couple of": 2,
    "a couple": 2,
    "couple of": 2,
    "couple": 2,
    "a few": 3,
    "few": 3,
    "several": 3,
    "a": 1,
    "an": 1,
}
"""Of those that are vague the usual number."""
_ONES = (
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NUMERALS = {numeral: value for value, numeral in enumerate("零一二三四五六七八九")} | {"两": 2, "几": 3}

_WORDS = "|".join(sorted((*_VAGUE, *_ONES), key=len, reverse=True)).replace(" ", r"\s+")
COUNT = (
    r"(?<![\w.,-])(?<!half )(?<!hundred and )(?<!thousand and )"
    rf"(?P<count>(?<!\d )\d{{1,3}}|(?:{'|'.join(_TENS)})(?:[\s-](?:{'|'.join(_ONES[:9])}))?|{_WORDS})"
    rf"(?:\s+(?:or|to)\s+(?:\d{{1,3}}|{_WORDS}))?"
)
"""Pattern of a number as group `count`; of `two or three` and 两三 the first. It is not the end of a larger one."""
CHINESE_COUNT = rf"(?<![\d.,十百千万{''.join(_NUMERALS)}])(?P<count>\d{{1,3}}|[{''.join(_NUMERALS)}十]{{1,3}})"


def count_of(told: str) -> int:
    """Return the number of what one of the patterns has matched.

    Raises:
        LookupError: it is none.
    """
    given = " ".join(told.casefold().replace("-", " ").split())
    if given.isdecimal():
        return int(given)
    if given in _VAGUE:
        return _VAGUE[given]
    if given[:1] in _NUMERALS or given[:1] == "十":
        return _chinese(given)
    tens, _, ones = given.partition(" ")
    if tens in _TENS:
        return 10 * (2 + _TENS.index(tens)) + (1 + _ONES.index(ones) if ones in _ONES else 0)
    return {word: value for value, word in enumerate(_ONES, 1)}[given]


def _chinese(given: str) -> int:
    tens, ten, ones = given.rpartition("十")
    if ten:
        return 10 * (_NUMERALS[tens[0]] if tens else 1) + (_NUMERALS[ones[0]] if ones else 0)
    if "零" in given:
        return int("".join(str(_NUMERALS[numeral]) for numeral in given))
    return _NUMERALS[given[0]]
