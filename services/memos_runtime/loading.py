"""Reads one configuration schema from a TOML file and the environment, and shows it without its secrets.

`MEMOS_STORAGE__DATABASE_URL` is the key `storage.database_url`. The environment wins over the file, the
file over the defaults. A key that the schema does not know is an error, wherever it stands.
"""

import difflib
import json
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

S = TypeVar("S", bound=BaseModel)

PREFIX = "MEMOS_"
_HIDDEN = "***"
_SECTION = "the section "
_TYPO = 0.8  # likeness of a name to one that differs by a letter or two
_URL_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^@/\s]+@")


class ConfigError(ValueError):
    """The configuration cannot be used; `problems` holds one sentence each."""

    def __init__(self, problems: Collection[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the schema, for the table in the README."""

    key: str
    env: str
    default: str
    description: str


def load(
    schema: type[S],
    *,
    file: Path | None,
    environ: Mapping[str, str],
    aliases: Mapping[str, str] | None = None,
    reserved: Collection[str] = (),
) -> S:
    """Return the effective configuration.

    Args:
        schema: a section whose fields are sections.
        file: TOML file, or None.
        environ: environment; only names that start with `MEMOS_` are looked at.
        aliases: short names of the environment, such as `MEMOS_MODEL`, with the key that each sets.
        reserved: names of the environment that belong to something else.

    Raises:
        ConfigError: the file cannot be read, a key is unknown or a value does not fit. No value is repeated.
    """
    known = {key.key for key in keys(schema)}
    values = _read(file)
    problems = [_unknown(path, _near(path, known)) for path in _leaves(values) if not _is_known(path, schema)]
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name in reserved:
            continue
        path = (aliases or {}).get(name) or name.removeprefix(PREFIX).lower().replace("__", ".")
        if not text and _is_optional(path, schema):
            continue  # as `NAME=${NAME}` of a compose file has it
        if _is_known(path, schema):
            _put(values, path.split("."), _parsed(text))
        else:
            problems.append(_unknown(name, _near_variable(path, known, others=(*(aliases or {}), *reserved))))
    if problems:
        raise ConfigError(problems)
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        found = [_misfit(item["loc"], item["msg"]) for item in error.errors(include_input=False)]
        raise ConfigError(found) from None  # the cause would repeat the values


def dump(config: BaseModel) -> dict[str, Any]:
    """Return the configuration as plain values, secrets and passwords in URLs as `***`."""
    return {name: _shown(getattr(config, name)) for name in type(config).model_fields}


def keys(schema: type[BaseModel], *, above: str = "") -> list[Key]:
    """Return every key of the schema, in its order."""
    found: list[Key] = []
    for name, item in schema.model_fields.items():
        path = f"{above}{name}"
        section = _section(item)
        if section is not None:
            found += keys(section, above=f"{path}.")
        else:
            env = PREFIX + path.upper().replace(".", "__")
            found.append(Key(path, env, _default(item), item.description or ""))
    return found


def _read(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{file} cannot be read: {error.strerror}."]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{file} is not TOML: {error}."]) from error


def _leaves(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}"


def _is_known(path: str, schema: type[BaseModel]) -> bool:
    """Return whether a path leads to a field, or into one that is a table with keys of its own."""
    item, rest = _field(path, schema)
    return item is not None and (not rest or "dict" in str(item.annotation).lower())


def _is_optional(path: str, schema: type[BaseModel]) -> bool:
    """Return whether a path leads to a field whose default is None, so that an empty text means that it is not set."""
    item, _ = _field(path, schema)
    return item is not None and item.get_default(call_default_factory=True) is None


def _field(path: str, schema: type[BaseModel]) -> tuple[FieldInfo | None, str]:
    """Return the field that a path leads to, if there is one, and what of the path lies inside it."""
    name, _, rest = path.partition(".")
    item = schema.model_fields.get(name)
    section = _section(item) if item is not None else None
    return _field(rest, section) if section is not None and rest else (item, rest)


def _unknown(name: str, near: str) -> str:
    hint = f"; did you mean {near}?" if near else "."
    return f"{name} is not a key of the configuration{hint}"


def _misfit(place: tuple[int | str, ...], said: str) -> str:
    return f"{'.'.join(map(str, place))}: {said.removeprefix('Value error, ')}."


def _near_variable(path: str, known: Collection[str], *, others: Collection[str]) -> str:
    """Return the variable that was probably meant: one that is no key, or what sets the key or the section."""
    by_name = {other.removeprefix(PREFIX).lower(): other for other in others}
    unsplit = path in {key.replace(".", "_") for key in known}
    if "." not in path and not unsplit and (name := _nearest(path, by_name, cutoff=_TYPO)):
        return by_name[name]
    near = _near(path, known)
    section = near.removeprefix(_SECTION)
    return f"{_env(section)}__..." if section != near else _env(near) if near else ""


def _near(path: str, known: Collection[str]) -> str:
    """Return the key that was probably meant, or the section if nothing in that is like it; empty if there is none."""
    above, _, last = path.rpartition(".")
    sections = {key.rpartition(".")[0] for key in known if "." in key}
    if not above:  # with one underline for the two behind the section, a section alone, or a key without its section
        alone = Counter(key.rpartition(".")[2] for key in known)
        candidates = {key.rpartition(".")[2]: key for key in known if alone[key.rpartition(".")[2]] == 1}
        candidates |= {key.replace(".", "_"): key for key in known} | {name: f"{_SECTION}{name}" for name in sections}
        return candidates.get(_nearest(path, candidates), "")
    section = _nearest(above, sections)
    inside = {key.rpartition(".")[2]: key for key in known if section and key.rpartition(".")[0] == section}
    if key := _nearest(last, inside):
        return inside[key]
    return f"{_SECTION}{section}" if section != above and section else ""


def _nearest(name: str, candidates: Collection[str], *, cutoff: float = 0.6) -> str:
    return next(iter(difflib.get_close_matches(name, candidates, n=1, cutoff=cutoff)), "")


def _env(path: str) -> str:
    return PREFIX + path.upper().replace(".", "__")


def _put(values: dict[str, Any], path: list[str], value: object) -> None:
    for name in path[:-1]:
        values = values.setdefault(name, {})
    values[path[-1]] = value


def _parsed(text: str) -> object:
    """Return the value of an environment variable: JSON if it is a list or a table, else the text."""
    if text[:1] in ("[", "{"):
        try:
            return cast(object, json.loads(text))
        except ValueError:
            return text
    return text


def _section(item: FieldInfo) -> type[BaseModel] | None:
    kind = item.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _default(item: FieldInfo) -> str:
    value = item.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "(required)"
    shown = _shown(value)
    return "" if shown is None else str(shown)


def _shown(value: object) -> Any:
    match value:
        case BaseModel():
            return dump(value)
        case SecretStr():
            return _HIDDEN if value.get_secret_value() else ""
        case dict():
            return {str(name): _shown(item) for name, item in value.items()}
        case list() | tuple() | frozenset() | set():
            return [_shown(item) for item in value]
        case Path():
            return str(value)
        case str():
            return _URL_PASSWORD.sub(rf"\1{_HIDDEN}@", value)
        case _:
            return value
