"""The order of the live texts in their conversations: each row knows the one before it.

So a text takes its place, or leaves it, without a look at the others of the conversation, and those around it are found
by keys. On a database with several writers two of one conversation at the same moment do not see each other: both may
follow the same turn, or one follows a turn that the other deletes, and then nothing is before it.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import BigInteger, Connection, String, bindparam, delete, insert, select, tuple_, update

from memos_kernel.cube import MemCube
from memos_storage.adapters.sql import schema
from memos_storage.adapters.sql.bulk import insert_all
from memos_storage.adapters.sql.named import named_to_json
from memos_storage.adapters.sql.parts import parts
from memos_storage.domain.turns import Turn, times_of, turn_of

_TURNS = schema.turns
_OF_SESSION = (_TURNS.c.vault_key == bindparam("vault_key"), _TURNS.c.session == bindparam("session"))
_PLACE = tuple_(_TURNS.c.event_time, _TURNS.c.uid)
_HERE = tuple_(bindparam("event_time", type_=BigInteger), bindparam("uid", type_=String))
_LAST_FIRST = (_TURNS.c.event_time.desc(), _TURNS.c.uid.desc())
_TAIL = select(_TURNS.c.cube_key, _TURNS.c.event_time, _TURNS.c.uid).where(*_OF_SESSION).order_by(*_LAST_FIRST).limit(1)
_BEFORE = select(_TURNS.c.cube_key).where(*_OF_SESSION, _PLACE < _HERE).order_by(*_LAST_FIRST).limit(1)
_BEHIND = (
    select(_TURNS.c.cube_key).where(*_OF_SESSION, _PLACE > _HERE).order_by(_TURNS.c.event_time, _TURNS.c.uid).limit(1)
)
_FOLLOW = update(_TURNS).where(_TURNS.c.cube_key == bindparam("this")).values(previous=bindparam("other"))
_LEAVING = select(_TURNS.c.cube_key, _TURNS.c.previous).where(_TURNS.c.cube_key.in_(bindparam("keys", expanding=True)))
_FOLLOWING = select(_TURNS.c.cube_key, _TURNS.c.previous).where(
    _TURNS.c.previous.in_(bindparam("keys", expanding=True))
)
_LEAVE = delete(_TURNS).where(_TURNS.c.cube_key.in_(bindparam("keys", expanding=True)))

Row = Mapping[str, Any]


def row_of(key: int, vault_key: int, cube: MemCube, *, length: int) -> dict[str, Any]:
    """Return the row of a text that is yet to take its place."""
    turn: Turn = turn_of(cube, length=length, named=times_of(cube))
    return {
        "cube_key": key,
        "vault_key": vault_key,
        "session": turn.session,
        "event_time": turn.time,
        "uid": cube.uid,
        "previous": None,
        "speaker": turn.speaker,
        "role": int(turn.role),
        "length": turn.length,
        "marks": int(turn.marks),
        "named": named_to_json(turn.named),
    }


def place(connection: Connection, rows: Sequence[Row]) -> None:
    """Insert rows, each behind what was said before it in its conversation."""
    apart = [row for row in rows if not row["session"]]
    said = sorted((row for row in rows if row["session"]), key=_order)
    for _, group in groupby(said, key=lambda row: (row["vault_key"], row["session"])):
        turns = list(group)
        tail = connection.execute(_TAIL, turns[0]).first()
        if tail is None or (tail.event_time, tail.uid) < (turns[0]["event_time"], turns[0]["uid"]):
            apart += _chained(turns, None if tail is None else tail.cube_key)
        else:
            for row in turns:
                _put_between(connection, row)
    if apart:
        insert_all(connection, _TURNS, apart)


def take_out(connection: Connection, keys: Sequence[int]) -> None:
    """Remove rows; who followed one of them follows what was before it."""
    for part in parts(keys):
        before = {row.cube_key: row.previous for row in connection.execute(_LEAVING, {"keys": part})}
        if not before:
            continue
        changes = []
        for row in connection.execute(_FOLLOWING, {"keys": list(before)}):
            if row.cube_key not in before:
                other = row.previous
                while other in before:
                    other = before[other]
                changes.append({"this": row.cube_key, "other": other})
        if changes:
            connection.execute(_FOLLOW, changes)
        connection.execute(_LEAVE, {"keys": list(before)})


def _order(row: Row) -> tuple[int, str, int, str]:
    return row["vault_key"], row["session"], row["event_time"], row["uid"]


def _chained(turns: Sequence[Row], previous: int | None) -> Iterator[Row]:
    for row in turns:
        yield {**row, "previous": previous}
        previous = row["cube_key"]


def _put_between(connection: Connection, row: Row) -> None:
    previous = connection.execute(_BEFORE, row).scalar()
    behind = connection.execute(_BEHIND, row).scalar()
    connection.execute(insert(_TURNS), {**row, "previous": previous})
    if behind is not None:
        connection.execute(_FOLLOW, {"this": behind, "other": row["cube_key"]})
