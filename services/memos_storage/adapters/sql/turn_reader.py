"""Turns with those around them, and what they share with a query, out of the catalogue."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, FromClause, Row, Select, and_, bindparam, select

from memos_storage.adapters.sql import schema
from memos_storage.adapters.sql.catalog import Database
from memos_storage.adapters.sql.lexical import FREQUENCIES, wanted_terms
from memos_storage.adapters.sql.parts import parts
from memos_storage.adapters.sql.statements import OF_CURRENT_TEXT
from memos_storage.adapters.terms import terms
from memos_storage.domain.pool import Seen, SeenTurn, VaultWords
from memos_storage.domain.turns import Mark, Role, Turn

_CUBES, _VAULTS, _TURNS, _VECTORS = schema.cubes, schema.vaults, schema.turns, schema.vectors
_POSTINGS = schema.postings

_BACK, _ON = 3, 2
"""How many turns before and behind one are read."""

_SCANNED = 4
"""A term in at most so many times the texts at hand is read as a whole: cheaper than looking it up text by text."""


def _chain() -> Select[Any]:
    """Turns of cubes by `uids`, with the keys of those around them."""
    columns = []
    joined: FromClause = _TURNS
    last: FromClause = _TURNS
    for step in range(1, _BACK + 1):
        before = _TURNS.alias(f"back_{step}")
        joined = joined.outerjoin(before, before.c.cube_key == last.c.previous)
        columns.append(before.c.cube_key.label(f"back_{step}"))
        last = before
    last = _TURNS
    for step in range(1, _ON + 1):
        behind = _TURNS.alias(f"on_{step}")
        joined = joined.outerjoin(behind, behind.c.previous == last.c.cube_key)
        columns.append(behind.c.cube_key.label(f"on_{step}"))
        last = behind
    return select(_TURNS.c.cube_key, *columns).select_from(joined).where(_TURNS.c.uid.in_(_UIDS))


_UIDS: BindParameter[Any] = bindparam("uids", expanding=True)
_CHAIN = _chain()
_KEYS: BindParameter[Any] = bindparam("keys", expanding=True)
_ROWS = select(_TURNS).where(_TURNS.c.cube_key.in_(_KEYS))
_STATISTICS = select(_VAULTS.c.key, _VAULTS.c.documents, _VAULTS.c.terms).where(_VAULTS.c.key.in_(_KEYS))
_COUNTS = select(_POSTINGS.c.cube_key, _POSTINGS.c.term, _POSTINGS.c.frequency).where(
    _POSTINGS.c.vault_key == bindparam("vault_key"), _POSTINGS.c.term.in_(bindparam("terms", expanding=True))
)
_COUNTS_OF = _COUNTS.where(_POSTINGS.c.cube_key.in_(_KEYS))
_TOKENS = (
    select(_CUBES.c.uid, _VECTORS.c.tokens)
    .select_from(_CUBES.join(_VECTORS, and_(OF_CURRENT_TEXT, _VECTORS.c.embedder == bindparam("embedder"))))
    .where(_CUBES.c.uid.in_(_UIDS))
)


class SqlTurnReader:
    """Implements `ports.TurnReader`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def turns(self, uids: Sequence[str], query: str, *, words: Sequence[str] = ()) -> Seen:
        """Return the turns of these cubes and those around them, with what they share with a query."""
        wanted = wanted_terms(query)
        places = {term: place for place, term in enumerate(wanted)}
        of_words = tuple(tuple(places[term] for term in terms(word) if term in places) for word in words)
        return await self._database.read(lambda connection: _seen(connection, uids, wanted, of_words))

    async def tokens(self, uids: Sequence[str], embedder: str) -> dict[str, bytes]:
        """Return the codes of the tokens of cubes that have some of an embedder."""

        def work(connection: Connection) -> dict[str, bytes]:
            return {
                row.uid: row.tokens
                for part in parts(uids)
                for row in connection.execute(_TOKENS, {"uids": part, "embedder": embedder})
                if row.tokens
            }

        return await self._database.read(work)


def _seen(
    connection: Connection, uids: Sequence[str], wanted: Sequence[str], words: tuple[tuple[int, ...], ...]
) -> Seen:
    around: dict[int, dict[int, int]] = {}
    for part in parts(uids):
        for row in connection.execute(_CHAIN, {"uids": part}):
            around.setdefault(row[0], {}).update(_steps(row))
    keys = sorted({*around, *(key for steps in around.values() for key in steps.values())})
    found = [row for part in parts(keys) for row in connection.execute(_ROWS, {"keys": part})]
    uid_of = {row.cube_key: row.uid for row in found}
    by_vault: dict[int, list[int]] = {}
    for row in found:
        by_vault.setdefault(row.vault_key, []).append(row.cube_key)
    counts: dict[int, dict[str, int]] = {}
    vaults = {
        vault.key: _words(connection, vault, by_vault[vault.key], wanted, counts)
        for vault in connection.execute(_STATISTICS, {"keys": list(by_vault)}).all()
    }
    turns = {
        row.uid: SeenTurn(
            uid=row.uid,
            turn=_turn(row),
            vault=row.vault_key,
            counts=_ordered(counts.get(row.cube_key, {}), wanted),
            around={step: uid_of[key] for step, key in around.get(row.cube_key, {}).items() if key in uid_of},
        )
        for row in found
    }
    return Seen(turns, vaults, words)


def _steps(row: Row[Any]) -> Iterable[tuple[int, int]]:
    others: Sequence[int | None] = row[1:]
    for place, key in enumerate(others, 1):
        if key is not None:
            yield (-place if place <= _BACK else place - _BACK), key


def _turn(row: Row[Any]) -> Turn:
    return Turn(row.session, row.event_time, row.speaker, Role(row.role), row.length, Mark(row.marks))


def _words(
    connection: Connection,
    vault: Any,
    keys: Sequence[int],
    wanted: Sequence[str],
    counts: dict[int, dict[str, int]],
) -> VaultWords:
    """Count the query's terms in texts of a vault, into `counts`; return its statistics."""
    held = connection.execute(FREQUENCIES, {"vault_key": vault.key, "terms": wanted})
    frequencies = {row[0]: int(row[1]) for row in held}
    rare = [term for term, count in frequencies.items() if count <= _SCANNED * len(keys)]
    common = [term for term in frequencies if term not in set(rare)]
    if rare:
        _take(connection.execute(_COUNTS, {"vault_key": vault.key, "terms": rare}), counts)
    for part in parts(keys) if common else ():
        _take(connection.execute(_COUNTS_OF, {"vault_key": vault.key, "terms": common, "keys": part}), counts)
    documents = max(vault.documents, 1)
    return VaultWords(
        average_length=vault.terms / documents,
        idf=tuple(_idf(documents, frequencies.get(term, 0)) for term in wanted),
    )


def _take(found: Iterable[Any], counts: dict[int, dict[str, int]]) -> None:
    for row in found:
        counts.setdefault(row[0], {})[row[1]] = row[2]


def _ordered(counted: Mapping[str, int], wanted: Sequence[str]) -> tuple[int, ...]:
    return tuple(counted.get(term, 0) for term in wanted)


def _idf(documents: int, frequency: int) -> float:
    return math.log(1 + (documents - frequency + 0.5) / (frequency + 0.5))
