"""Turns with those around them, and what they share with a query, out of the catalogue."""

import json
from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import (
    BigInteger,
    Connection,
    FromClause,
    Select,
    String,
    and_,
    bindparam,
    select,
)

from memos_storage.adapters.sql import schema
from memos_storage.adapters.sql.catalog import Database
from memos_storage.adapters.sql.lexical import FREQUENCIES
from memos_storage.adapters.sql.named import named_from_json
from memos_storage.adapters.sql.parts import fetched, listed
from memos_storage.adapters.sql.statements import OF_CURRENT_TEXT
from memos_storage.adapters.terms import query_places, wanted_terms
from memos_storage.domain.bm25 import idf
from memos_storage.domain.pool import STEPS, Places, QueryPlaces, Seen, VaultWords, around

_CUBES, _VAULTS, _TURNS, _VECTORS = schema.cubes, schema.vaults, schema.turns, schema.vectors
_POSTINGS = schema.postings

_SCANNED = 0.5
"""A term in at most so many times the texts at hand is read as a whole: cheaper than looking it up text by text."""

_COLUMNS = tuple(
    _TURNS.c[name]
    for name in ("cube_key", "vault_key", "uid", "session", "speaker", "event_time", "role", "marks", "length", "named")
)
_STATISTICS = select(_VAULTS.c.key, _VAULTS.c.documents, _VAULTS.c.terms).where(
    _VAULTS.c.key.in_(bindparam("keys", expanding=True))
)
_COUNTS = select(_POSTINGS.c.cube_key, _POSTINGS.c.term, _POSTINGS.c.frequency).where(
    _POSTINGS.c.vault_key == bindparam("vault_key"), _POSTINGS.c.term.in_(bindparam("terms", expanding=True))
)


@dataclass(frozen=True, slots=True)
class _Statements:
    """Those with long lists, which are one parameter: as one for each item they take longer to write than to run."""

    chain: Select[Any]
    rows: Select[Any]
    counts_of: Select[Any]
    tokens: Select[Any]


@cache
def _statements(dialect: str) -> _Statements:
    uids, keys = listed("uids", String, dialect), listed("keys", BigInteger, dialect)
    of_embedder = and_(OF_CURRENT_TEXT, _VECTORS.c.embedder == bindparam("embedder"))
    return _Statements(
        chain=_chain().where(_TURNS.c.uid.in_(uids)),
        rows=select(*_COLUMNS, _CUBES.c.valid_from, _CUBES.c.valid_until)
        .join(_CUBES, _CUBES.c.key == _TURNS.c.cube_key)
        .where(_TURNS.c.cube_key.in_(keys)),
        counts_of=_COUNTS.where(_POSTINGS.c.cube_key.in_(keys)),
        tokens=select(_CUBES.c.uid, _VECTORS.c.tokens)
        .select_from(_CUBES.join(_VECTORS, of_embedder))
        .where(_CUBES.c.uid.in_(uids)),
    )


def _chain() -> Select[Any]:
    """Keys of turns and of those around them, in the order of `STEPS`."""
    places: dict[int, FromClause] = {0: _TURNS}
    joined: FromClause = _TURNS
    for step in sorted(STEPS, key=abs):
        there = places[step] = _TURNS.alias(f"at_{step + len(STEPS)}")
        nearer = places[step + 1 if step < 0 else step - 1]
        follows = there.c.cube_key == nearer.c.previous if step < 0 else there.c.previous == nearer.c.cube_key
        joined = joined.outerjoin(there, follows)
    columns = [places[step].c.cube_key.label(f"key_{number}") for number, step in enumerate(STEPS)]
    return select(_TURNS.c.cube_key, *columns).select_from(joined)


class SqlTurnReader:
    """Implements `ports.TurnReader`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def turns(self, uids: Sequence[str], query: str, *, words: Sequence[str] = ()) -> Seen:
        """Return the turns of these cubes and those around them, with what they share with a query."""
        wanted = wanted_terms(query)
        asked = query_places(query, wanted, words)
        return await self._database.read(lambda connection: _seen(connection, uids, wanted, asked))

    async def tokens(self, uids: Sequence[str], embedder: str) -> dict[str, bytes]:
        """Return the codes of the tokens of cubes that have some of an embedder."""

        def work(connection: Connection) -> dict[str, bytes]:
            parameters = {"uids": json.dumps(list(uids)), "embedder": embedder}
            found = fetched(connection, _statements(connection.dialect.name).tokens, parameters)
            return {uid: bytes(codes) for uid, codes in found if codes}

        return await self._database.read(work)


def _seen(connection: Connection, uids: Sequence[str], wanted: Sequence[str], asked: QueryPlaces) -> Seen:
    statements = _statements(connection.dialect.name)
    chains = fetched(connection, statements.chain, {"uids": json.dumps(list(uids))})
    found = sorted({key for chain in chains for key in chain if key is not None})
    rows = fetched(connection, statements.rows, {"keys": json.dumps(found)}) if found else []
    if not rows:
        return Seen.of((), {}, terms=len(wanted), asked=asked)
    keys, vault_keys, uids_, sessions, speakers, times, roles, marks, lengths, named, *valid = zip(*rows, strict=True)
    vaults = np.array(vault_keys, dtype=np.int64)
    counts = np.zeros((len(rows), len(wanted)))
    held = {vault: np.flatnonzero(vaults == vault) for vault in np.unique(vaults).tolist()}
    statistics = {
        row.key: _words(connection, row, _Texts(row.key, keys, held[row.key]), wanted, counts)
        for row in connection.execute(_STATISTICS, {"keys": sorted(held)}).all()
    }
    return Seen(
        uids=uids_,
        vaults=vaults,
        sessions=sessions,
        speakers=speakers,
        times=np.array(times, dtype=np.int64),
        roles=np.array(roles, dtype=np.int64),
        marks=np.array(marks, dtype=np.int64),
        lengths=np.array(lengths, dtype=np.float64),
        counts=counts,
        around=around(chains, keys),
        named=[named_from_json(stored) for stored in named],
        valid=list(zip(*valid, strict=True)),
        statistics=statistics,
        asked=asked,
    )


@dataclass(frozen=True, slots=True)
class _Texts:
    """Texts of a vault: the rows of a table of counts whose keys are given."""

    vault: int
    keys: Sequence[int]
    rows: Places


def _words(
    connection: Connection, vault: Any, texts: _Texts, wanted: Sequence[str], counts: npt.NDArray[np.float64]
) -> VaultWords:
    """Count the query's terms in texts of a vault, into `counts`; return its statistics."""
    frequencies = {row[0]: int(row[1]) for row in connection.execute(FREQUENCIES, _of(vault.key, wanted)).all()}
    rare = {term for term, count in frequencies.items() if count <= _SCANNED * len(texts.rows)}
    _count(connection, counts, texts, wanted, rare=rare)
    documents = max(vault.documents, 1)
    return VaultWords(
        average_length=vault.terms / documents,
        idf=tuple(idf(documents, frequencies.get(term, 0)) for term in wanted),
    )


def _count(
    connection: Connection,
    counts: npt.NDArray[np.float64],
    texts: _Texts,
    wanted: Sequence[str],
    *,
    rare: Set[str] = frozenset(),
) -> None:
    """Enter how often terms are in texts. All postings of a `rare` term are read, of others those of the texts."""
    place = {texts.keys[row]: row for row in texts.rows.tolist()}
    column = {term: index for index, term in enumerate(wanted)}
    found = fetched(connection, _COUNTS, _of(texts.vault, sorted(rare))) if rare else []
    if common := [term for term in wanted if term not in rare]:
        statement = _statements(connection.dialect.name).counts_of
        found += fetched(connection, statement, {**_of(texts.vault, common), "keys": json.dumps(list(place))})
    told = [(place[key], column[term], frequency) for key, term, frequency in found if key in place]
    if told:
        rows, columns, frequencies = zip(*told, strict=True)
        counts[rows, columns] = frequencies


def _of(vault: int, terms: Sequence[str]) -> dict[str, Any]:
    return {"vault_key": vault, "terms": terms}
