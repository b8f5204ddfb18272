"""What is refused before it is sent, because the contract's messages would take it for something else or fail bare."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from memos_client._errors import RequestError


def listed(field: str, values: Iterable[str]) -> Iterable[str]:
    """Return the values of an argument that is a list; a string would be taken letter by letter.

    Raises:
        TypeError: it is one string.
        RequestError: one of its strings holds half a character.
    """
    if isinstance(values, str | bytes):
        raise TypeError(f"{field} is one {type(values).__name__}; give a list")
    whole = list(values)
    check_words(**{field: whole})
    return whole


def check_words(**arguments: Any) -> None:
    """Refuse strings that are no Unicode, in arguments and in what they hold.

    Raises:
        RequestError: one holds half a character; `.field` says where.
    """
    for field, value in arguments.items():
        _check(field, value)


def _check(field: str, value: Any) -> None:
    if isinstance(value, str):
        if not _is_unicode(value):
            raise RequestError(
                f"{field} holds half a character, such as a cut emoji, or bytes that are no UTF-8.",
                reason="INVALID_FIELD",
                metadata={"field": field},
            )
    elif isinstance(value, Mapping):
        for key, content in value.items():
            _check(f"{field} (a key)", key)
            _check(f"{field}[{key}]", content)
    elif isinstance(value, list | tuple):
        for index, content in enumerate(value):
            _check(f"{field}[{index}]", content)
    elif is_dataclass(value):
        for part in fields(value):
            _check(f"{field}.{part.name}", getattr(value, part.name))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
