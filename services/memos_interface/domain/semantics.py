"""What sort of content a text is, by a few rules that would rather say less than be wrong."""

import re

from memos_kernel.cube import SemanticType

_RULES: tuple[tuple[SemanticType, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        (
            SemanticType.TASK,
            r"^(?:to-?do\b|remind me\b|remember to\b|don'?t forget to\b|please (?:remember|remind)\b)"
            r"|\bI (?:still )?(?:need|have|ought) to\b",
        ),
        (
            SemanticType.PREFERENCE,
            r"\bI (?:really |absolutely |just )?(?:like|love|prefer|hate|enjoy|dislike|adore|can'?t stand)\b"
            r"|\bmy favou?rite\b|\bI'?d rather\b",
        ),
        (
            SemanticType.FACT,
            r"\bmy (?:\w+ ){0,2}(?:is|are)\b|\bI (?:live|work|was born)\b|\bI(?:'m| am) allergic\b|\bmy name'?s\b",
        ),
    )
)


def guess(text: str, *, spoken: bool) -> SemanticType:
    """Return the sort of content of a text.

    A question asks and tells nothing, so it is what was said: an event. What no rule knows is an event
    where somebody said it at some time (`spoken`), and otherwise a fact.
    """
    default = SemanticType.EVENT if spoken else SemanticType.FACT
    if text.rstrip().endswith("?"):
        return default
    return next((kind for kind, pattern in _RULES if pattern.search(text)), default)
