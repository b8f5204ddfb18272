"""BM25 in SQL over the postings of the catalogue; statistics are per vault (Robertson and Zaragoza 2009)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Float, Integer, Row, Select, String, bindparam, case, cast, func, select, type_coerce

from memos_kernel.cube import MemCube
from memos_kernel.names import VaultName
from memos_storage.adapters.sql import filters, schema
from memos_storage.adapters.sql.catalog import Database
from memos_storage.adapters.sql.filters import Parameters, Shape
from memos_storage.adapters.terms import frequencies, wanted_terms
from memos_storage.domain.bm25 import K1, QUERY_TERMS, B, idf
from memos_storage.domain.selection import Selection
from memos_storage.domain.values import Scored

TELLING_ROWS = 2_000
"""Postings that are read to find texts, if they are enough of them."""
CANDIDATES = 4
"""Texts found for each that is wanted, before the common terms are counted."""

_CUBES, _VAULTS, _POSTINGS = schema.cubes, schema.vaults, schema.postings


@dataclass(frozen=True, slots=True)
class _Vault:
    key: int
    documents: int
    terms: int


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is looked for, as the statements take it."""

    shape: Shape
    values: Parameters
    limit: int


class SqlLexicalIndex:
    """Implements `ports.LexicalIndex`. The transaction writes the postings; this reads them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def search(self, query: str, selection: Selection, *, limit: int) -> list[Scored]:
        """Return the cubes that share terms with the query, best first; scores from 0 to 1.

        A score is the BM25 sum over what it would be in a text that holds every term of the query very often.
        """
        wanted = wanted_terms(query)
        if not wanted:
            return []
        asked = _Asked(Shape.of(selection), filters.values(selection), limit)
        scope = selection.scope

        def work(connection: Connection) -> list[Scored]:
            found = connection.execute(_vaults(all_vaults=scope.vaults is None), filters.scope_values(scope))
            scored = [
                Scored(row.uid, float(row.score))
                for vault in [_Vault(*row) for row in found]
                for row in _score_vault(connection, vault, wanted, asked)
            ]
            return sorted(scored, key=lambda item: (-item.score, item.uid))[:limit]

        return await self._database.read(work)

    async def score(self, query: str, cubes: Sequence[MemCube]) -> list[Scored]:
        """Return those of these cubes that share terms with the query, scored as if their texts were in the index."""
        wanted = wanted_terms(query)
        by_vault: dict[VaultName, list[MemCube]] = {}
        for cube in cubes:
            by_vault.setdefault(cube.vault, []).append(cube)
        if not wanted:
            return []

        def work(connection: Connection) -> list[Scored]:
            return [item for name, held in by_vault.items() for item in _score_texts(connection, name, wanted, held)]

        return await self._database.read(work)


def _score_texts(
    connection: Connection, name: VaultName, wanted: Sequence[str], cubes: Sequence[MemCube]
) -> Iterator[Scored]:
    vault = _Vault(*connection.execute(_VAULT, {"tenant": name.tenant, "vault": name.id}).one())
    weights = _weights(vault, wanted, _found(connection, vault, wanted))
    for cube in cubes:
        counted = frequencies(cube)
        relative = counted.total() * vault.documents / vault.terms if vault.terms else 1.0
        norm = K1 * (1 - B + B * relative)
        score = sum(weight * counted[term] / (counted[term] + norm) for term, weight in weights.items())
        if score:
            yield Scored(cube.uid, score)


def _found(connection: Connection, vault: _Vault, wanted: Sequence[str]) -> dict[str, int]:
    counted = connection.execute(FREQUENCIES, {"vault_key": vault.key, "terms": wanted})
    return {term: int(count) for term, count in counted}


def _score_vault(connection: Connection, vault: _Vault, wanted: Sequence[str], asked: _Asked) -> Sequence[Row[Any]]:
    found = _found(connection, vault, wanted)
    if not found:
        return []
    weights = {term: weight for term, weight in _weights(vault, wanted, found).items() if term in found}
    telling = {term: weights[term] for term in _telling(found)}
    if len(telling) < len(found):
        first = _best(connection, vault, telling, asked, limit=CANDIDATES * asked.limit)
        if len(first) >= asked.limit:
            return _best(connection, vault, weights, asked, limit=asked.limit, among=[row.key for row in first])
    return _best(connection, vault, weights, asked, limit=asked.limit)


def _best(
    connection: Connection,
    vault: _Vault,
    weights: Mapping[str, float],
    asked: _Asked,
    *,
    limit: int,
    among: Sequence[int] = (),
) -> Sequence[Row[Any]]:
    """Return key, uid and score of the best cubes by some terms, among all of the vault or only these keys."""
    parameters: dict[str, Any] = {
        **asked.values,
        "vault_key": vault.key,
        "slope": K1 * B * vault.documents / vault.terms,
        "terms": list(weights),
        "keys": among,
        "limit": limit,
    }
    for number, (term, weight) in enumerate(weights.items()):
        parameters |= {f"term_{number}": term, f"weight_{number}": weight}
    return connection.execute(_ranking(len(weights), asked.shape, among=bool(among)), parameters).all()


def _weights(vault: _Vault, wanted: Sequence[str], found: Mapping[str, int]) -> dict[str, float]:
    """Return the share of each term that the vault has in the best score that there can be."""
    telling = {term: idf(vault.documents, found.get(term, 0)) for term in wanted}
    best = sum(telling.values())
    return {term: telling[term] / best for term in wanted}


def _telling(found: Mapping[str, int]) -> list[str]:
    """Return the rarest terms, as many as `TELLING_ROWS` postings have.

    A common term, such as a speaker's name, is in half of a vault's texts: it is not asked to bring texts in where
    rarer terms bring in enough, only to score them.
    """
    telling: list[str] = []
    rows = 0
    for term in sorted(found, key=lambda term: (found[term], term)):
        rows += found[term]
        if telling and rows > TELLING_ROWS:
            break
        telling.append(term)
    return telling


FREQUENCIES: Select[Any] = (
    select(_POSTINGS.c.term, func.count())
    .where(_POSTINGS.c.vault_key == bindparam("vault_key"), _POSTINGS.c.term.in_(bindparam("terms", expanding=True)))
    .group_by(_POSTINGS.c.term)
)
"""In how many texts of a vault each term is, without those in none."""


_STATISTICS = select(_VAULTS.c.key, _VAULTS.c.documents, _VAULTS.c.terms)
_VAULT: Select[Any] = _STATISTICS.where(_VAULTS.c.tenant == bindparam("tenant"), _VAULTS.c.vault == bindparam("vault"))


@lru_cache(maxsize=2)
def _vaults(*, all_vaults: bool) -> Select[Any]:
    return _STATISTICS.where(filters.in_scope(all_vaults=all_vaults), _VAULTS.c.documents > 0)


@lru_cache(maxsize=16 * QUERY_TERMS)
def _ranking(terms: int, shape: Shape, *, among: bool) -> Select[Any]:
    """Cubes that fulfil a filter, by their BM25 sum over so many terms; `among`: only those of `keys`."""
    scores = _scores(terms)
    if among:
        scores = scores.where(_POSTINGS.c.cube_key.in_(bindparam("keys", expanding=True)))
    ranked = scores.subquery()
    return (
        select(_CUBES.c.key, _CUBES.c.uid, ranked.c.score)
        .select_from(ranked)
        .join(_CUBES, _CUBES.c.key == ranked.c.cube_key)
        .where(*filters.conditions_on_cubes(shape))
        .order_by(ranked.c.score.desc(), _CUBES.c.uid)
        .limit(bindparam("limit", type_=Integer))
    )


def _scores(terms: int) -> Select[Any]:
    """Key and BM25 sum of the texts of a vault that hold any of so many terms."""
    posting = _POSTINGS.c
    weight = case(
        *(
            (posting.term == bindparam(f"term_{number}", type_=String), bindparam(f"weight_{number}", type_=Float))
            for number in range(terms)
        ),
        else_=0.0,
    )
    frequency = cast(posting.frequency, Float)
    saturation = frequency / (frequency + K1 * (1 - B) + bindparam("slope", type_=Float) * posting.length)
    return (
        select(posting.cube_key, func.sum(type_coerce(saturation * weight, Float)).label("score"))
        .where(posting.vault_key == bindparam("vault_key"), posting.term.in_(bindparam("terms", expanding=True)))
        .group_by(posting.cube_key)
    )
