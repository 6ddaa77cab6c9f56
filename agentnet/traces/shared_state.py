"""`SharedState`: a named binary state that several processes change, each item exactly once.

A change reads the state, applies items and writes the state back in one transaction under a lock on the
state's row (PostgreSQL: ``SELECT ... FOR UPDATE``; SQLite: ``BEGIN IMMEDIATE``), together with the items'
keys. So changes happen one after the other, in the order of their commits, whichever process they come
from: no update is lost. An item whose key was committed before is left out: none is applied twice, also
when a process dies and its work is done again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, case, delete, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from agentnet.errors import InvalidInput
from agentnet.traces.models import AppliedKeyRow, SharedStateRow
from agentnet.traces.sink import insert_into, table_of
from agentnet.traces.store import TraceStore

T = TypeVar("T")

Change = Callable[[bytes | None, list[T]], bytes | None]
"""Makes the next payload from the present one and the new items."""

_STATES, _KEYS = table_of(SharedStateRow), table_of(AppliedKeyRow)
_MOST = 500  # keys a statement


@dataclass(frozen=True, slots=True)
class Applied:
    """What a change did."""

    version: int
    """The state's version after it."""
    used: tuple[str, ...]
    """Keys that were applied now, in the order given; the others had been applied before."""


class SharedState:
    """A named, versioned state in the trace database.

    Safe to use from several threads and processes at once. The merge rule is the order of commits: each
    change is a function of the state that the one before it left.

    Args:
        store: Where it is kept; the store stays the caller's to close.
        name: Names the state; processes that use the same name share it.
        breathe: Called between the steps of a change, for a worker that must not hold the interpreter for
            long: it may sleep, and nothing else.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> def add(payload: bytes | None, items: Sequence[int]) -> bytes:
    ...     return str(int(payload or b"0") + sum(items)).encode()
    >>> with TraceStore.open(f"{folder.name}/traces.db") as store:
    ...     total = SharedState(store, "total")
    ...     total.apply({"a": 1, "b": 2}, add)
    ...     total.apply({"b": 2, "c": 3}, add)  # b was applied before
    ...     total.read()
    Applied(version=1, used=('a', 'b'))
    Applied(version=2, used=('c',))
    (2, b'6')
    >>> folder.cleanup()
    """

    def __init__(self, store: TraceStore, name: str, *, breathe: Callable[[], None] = lambda: None) -> None:
        if not isinstance(name, str) or not name.strip():
            raise InvalidInput("a shared state needs a name.")
        self._store = store
        self.name = name
        self._breathe = breathe

    def read(self, *, newer_than: int = -1) -> tuple[int, bytes | None]:
        """Returns version and payload; (0, None) before the first change.

        Args:
            newer_than: Fetch the payload only if the version is higher than this; else it is None.

        Raises:
            StoreError: the database cannot be read.
        """
        # One statement: between two, a commit could make the version new and leave the payload out.
        payload = case((_STATES.c.version > newer_than, _STATES.c.payload), else_=None)
        query = select(_STATES.c.version, payload).where(_STATES.c.name == self.name)
        with self._database() as engine, engine.connect() as connection:
            found = connection.execute(query).first()
            return (0, None) if found is None else (int(found[0]), found[1])

    async def aread(self, *, newer_than: int = -1) -> tuple[int, bytes | None]:
        """`read` without blocking the event loop."""
        return await asyncio.to_thread(self.read, newer_than=newer_than)

    def apply(self, items: Mapping[str, T], change: Change[T]) -> Applied:
        """Applies the items that were not applied before, in one transaction.

        Args:
            items: Items by key; a key names its item for ever.
            change: Is given the payload (None before the first change) and the items that are new, in the
                order of ``items``, and returns the next payload; None leaves it as it is, while the items
                count as applied. It runs under the lock, so it should be quick. It is not called when no
                item is new.

        Raises:
            StoreError: the database could not be changed; nothing was applied.
            Exception: whatever ``change`` raises; nothing was applied.
        """
        with self._database() as engine, _writing(engine) as connection:
            version, payload = self._locked(connection)
            self._breathe()
            before = self._applied(connection, list(items))
            new = [key for key in items if key not in before]
            if not new:
                return Applied(version, ())
            self._breathe()
            after = change(payload, [items[key] for key in new])
            self._breathe()
            now = time.time()
            values: dict[str, Any] = {"version": version + 1, "changed_at": now}
            if after is not None:
                values["payload"] = after
            connection.execute(update(_STATES).where(_STATES.c.name == self.name).values(values))
            rows = [{"name": self.name, "key": key, "version": version + 1, "applied_at": now} for key in new]
            for at in range(0, len(rows), _MOST):
                self._breathe()
                connection.execute(insert(_KEYS), rows[at : at + _MOST])
        return Applied(version + 1, tuple(new))

    async def aapply(self, items: Mapping[str, T], change: Change[T]) -> Applied:
        """`apply` without blocking the event loop; ``change`` runs in another thread."""
        return await asyncio.to_thread(self.apply, items, change)

    def applied(self, keys: Sequence[str]) -> frozenset[str]:
        """Returns those of the keys that were applied."""
        with self._database() as engine, engine.connect() as connection:
            return frozenset(self._applied(connection, keys))

    def forget(self, *, before: float) -> int:
        """Deletes keys applied before a time (seconds since the epoch); returns how many.

        For upkeep. An item whose key is forgotten would be applied again: forget only what can no longer
        be given again.
        """
        with self._database() as engine, _writing(engine) as connection:
            old = delete(_KEYS).where(_KEYS.c.name == self.name, _KEYS.c.applied_at < before)
            return int(connection.execute(old).rowcount)

    @property
    def keys(self) -> int:
        """How many keys are kept."""
        query = select(func.count()).select_from(_KEYS).where(_KEYS.c.name == self.name)
        with self._database() as engine, engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    # ------------------------------------------------------------------------------------------
    def _locked(self, connection: Connection) -> tuple[int, bytes | None]:
        """Locks the state's row, made where there is none, and returns version and payload."""
        row = {"name": self.name, "version": 0, "payload": None, "changed_at": time.time()}
        query = select(_STATES.c.version, _STATES.c.payload).where(_STATES.c.name == self.name)
        found = connection.execute(query.with_for_update()).first()
        if found is None:
            # Of several that make the first row at once, one does, and the others wait for it here.
            connection.execute(insert_into(connection.engine, _STATES).values(row).on_conflict_do_nothing())
            found = connection.execute(query.with_for_update()).one()
        return int(found[0]), found[1]

    def _applied(self, connection: Connection, keys: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for at in range(0, len(keys), _MOST):
            query = select(_KEYS.c.key).where(
                _KEYS.c.name == self.name, _KEYS.c.key.in_(keys[at : at + _MOST])
            )
            found.update(connection.execute(query).scalars())
        return found

    @contextmanager
    def _database(self) -> Iterator[Engine]:
        engine = self._store.engine
        try:
            yield engine
        except SQLAlchemyError as error:
            raise self._store._error(error, "sharing a state in") from None


@contextmanager
def _writing(engine: Engine) -> Iterator[Connection]:
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        yield connection
