"""Turns with those around them, and what they share with a query, out of the catalogue."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import BindParameter, Connection, FromClause, Select, and_, bindparam, select

from memos_storage.adapters.sql import schema
from memos_storage.adapters.sql.catalog import Database
from memos_storage.adapters.sql.lexical import FREQUENCIES, wanted_terms
from memos_storage.adapters.sql.parts import parts
from memos_storage.adapters.sql.statements import OF_CURRENT_TEXT
from memos_storage.adapters.terms import terms
from memos_storage.domain.pool import NOBODY, STEPS, Places, Seen, VaultWords

_CUBES, _VAULTS, _TURNS, _VECTORS = schema.cubes, schema.vaults, schema.turns, schema.vectors
_POSTINGS = schema.postings

_SCANNED = 4
"""A term in at most so many times the texts at hand is read as a whole: cheaper than looking it up text by text."""


def _chain() -> Select[Any]:
    """Turns of cubes by `uids`, with the keys of those around them."""
    places: dict[int, FromClause] = {0: _TURNS}
    joined: FromClause = _TURNS
    for step in sorted(STEPS, key=abs):
        there = places[step] = _TURNS.alias(f"at_{step + len(STEPS)}")
        nearer = places[step + 1 if step < 0 else step - 1]
        follows = there.c.cube_key == nearer.c.previous if step < 0 else there.c.previous == nearer.c.cube_key
        joined = joined.outerjoin(there, follows)
    columns = [places[step].c.cube_key.label(f"key_{number}") for number, step in enumerate(STEPS)]
    return select(_TURNS.c.cube_key, *columns).select_from(joined).where(_TURNS.c.uid.in_(_UIDS))


_UIDS: BindParameter[Any] = bindparam("uids", expanding=True)
_CHAIN = _chain()
_KEYS: BindParameter[Any] = bindparam("keys", expanding=True)
_COLUMNS = tuple(
    _TURNS.c[name]
    for name in ("cube_key", "vault_key", "uid", "session", "speaker", "event_time", "role", "marks", "length")
)
_ROWS = select(*_COLUMNS).where(_TURNS.c.cube_key.in_(_KEYS))
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
    chains = [tuple(row) for part in parts(uids) for row in connection.execute(_CHAIN, {"uids": part}).all()]
    keys = sorted({key for chain in chains for key in chain if key is not None})
    rows = [tuple(row) for part in parts(keys) for row in connection.execute(_ROWS, {"keys": part}).all()]
    columns: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * len(_COLUMNS)
    place = {key: index for index, key in enumerate(columns[0])}
    vaults = np.array(columns[1], dtype=np.int64)
    counts = np.zeros((len(rows), len(wanted)))
    held = {key: np.flatnonzero(vaults == key) for key in np.unique(vaults).tolist()}
    found = connection.execute(_STATISTICS, {"keys": list(held)}).all()
    statistics = {vault.key: _words(connection, vault, held[vault.key], columns[0], wanted, counts) for vault in found}
    return Seen(
        vaults=vaults,
        uids=columns[2],
        sessions=columns[3],
        speakers=columns[4],
        times=np.array(columns[5], dtype=np.int64),
        roles=np.array(columns[6], dtype=np.int64),
        marks=np.array(columns[7], dtype=np.int64),
        lengths=np.array(columns[8], dtype=np.float64),
        counts=counts,
        around=_around(chains, place),
        statistics=statistics,
        words=words,
    )


def _around(chains: Sequence[Sequence[Any]], place: Mapping[int, int]) -> Places:
    """Return the places of the turns around each; of two that follow a turn, one counts as the next."""
    around = np.full((len(place), len(STEPS)), NOBODY, dtype=np.int64)
    for chain in chains:
        if chain[0] in place:
            around[place[chain[0]]] = [NOBODY if key is None else place.get(key, NOBODY) for key in chain[1:]]
    return around


def _words(
    connection: Connection,
    vault: Any,
    rows: Places,
    keys: Sequence[int],
    wanted: Sequence[str],
    counts: npt.NDArray[np.float64],
) -> VaultWords:
    """Count the query's terms in texts of a vault, the `rows` of `counts`; return its statistics."""
    place = {keys[row]: row for row in rows.tolist()}
    column = {term: index for index, term in enumerate(wanted)}
    frequencies = {row[0]: int(row[1]) for row in connection.execute(FREQUENCIES, _of(vault, wanted)).all()}
    rare = [term for term, count in frequencies.items() if count <= _SCANNED * len(rows)]
    common = [term for term in frequencies if term not in set(rare)]
    found = list(connection.execute(_COUNTS, _of(vault, rare)).all()) if rare else []
    for part in parts(list(place)) if common else ():
        found += connection.execute(_COUNTS_OF, {**_of(vault, common), "keys": part}).all()
    for key, term, frequency in found:
        if key in place:
            counts[place[key], column[term]] = frequency
    documents = max(vault.documents, 1)
    return VaultWords(
        average_length=vault.terms / documents,
        idf=tuple(_idf(documents, frequencies.get(term, 0)) for term in wanted),
    )


def _of(vault: Any, terms: Sequence[str]) -> dict[str, Any]:
    return {"vault_key": vault.key, "terms": terms}


def _idf(documents: int, frequency: int) -> float:
    return math.log(1 + (documents - frequency + 0.5) / (frequency + 0.5))
