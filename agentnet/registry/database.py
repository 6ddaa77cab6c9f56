"""`DatabaseRegistry`: routers by version in a trace database, SQLite or PostgreSQL.

What serves is one row. A change locks it (PostgreSQL: ``SELECT ... FOR UPDATE``; SQLite: ``BEGIN
IMMEDIATE``), compares the revision, and writes the row and its line of history in one transaction. So
changes come one after the other, whichever process they come from, and one that is cut off leaves nothing.

A router is kept as the files of its folder, in pieces; only names that `Router.save` writes are read back.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from agentnet.errors import RegistryError, RouterError, StoreError
from agentnet.registry.book import Book, BookRegistry, Fault, Step, no_fault, this_process
from agentnet.registry.content import check_same, clean, content_of, described, keepable, merged, whole_id
from agentnet.registry.records import Change, RouterVersion, Serving
from agentnet.routers.base import Router
from agentnet.routers.persist import ARRAYS, CONFIG
from agentnet.traces.models import RegistryChangeRow, RegistryFileRow, RegistryStateRow, RegistryVersionRow
from agentnet.traces.sink import insert_into, table_of
from agentnet.traces.store import TraceStore

_VERSIONS, _FILES = table_of(RegistryVersionRow), table_of(RegistryFileRow)
_STATES, _CHANGES = table_of(RegistryStateRow), table_of(RegistryChangeRow)
_NAME = "serving"
_PIECE = 8 * 2**20
"""Bytes of a piece of a file: a row must be sent as a whole."""


class DatabaseRegistry(BookRegistry):
    """Keeps routers in a trace database; for processes on one machine (SQLite) or several (PostgreSQL).

    Args:
        store: Where it is kept; it stays the caller's to close. `open` opens one of its own.
        fault: Called at every point of a change; for tests.

    >>> from agentnet import make_router
    >>> with tempfile.TemporaryDirectory() as folder, TraceStore.open(f"{folder}/traces.db") as store:
    ...     registry = DatabaseRegistry(store)
    ...     version = registry.add(make_router("random", seed=1), note="to begin with")
    ...     registry.promote(version.id[:6]).revision, registry.load(version.id).name
    (1, 'random')
    """

    def __init__(self, store: TraceStore, *, fault: Fault = no_fault) -> None:
        self._store = store
        self._fault = fault
        self._owned = False
        self.url = store.url

    @classmethod
    def open(cls, url: str | Path, *, create: bool = True, fault: Fault = no_fault) -> Self:
        """Opens the registry of a trace database; see `TraceStore.open`.

        Raises:
            RegistryError: the database cannot be opened, or is not there and ``create`` is off.
        """
        try:
            store = TraceStore.open(url, create=create)
        except StoreError as error:
            raise RegistryError(str(error)) from None
        registry = cls(store, fault=fault)
        registry._owned = True
        return registry

    # -- versions ------------------------------------------------------------------------------
    def add(
        self,
        router: Router,
        *,
        parent: str | None = None,
        data: str = "",
        metrics: Mapping[str, Any] | None = None,
        note: str = "",
    ) -> RouterVersion:
        """Keeps a fitted router; see `Registry.add`.

        Raises:
            RegistryError: it cannot be written, or another router of this version is kept.
        """
        router = keepable(router)
        version, content = described(router, parent, data, metrics, note), content_of(router)
        with tempfile.TemporaryDirectory(prefix="agentnet-") as folder:
            router.save(Path(folder) / "router")
            files = {name: (Path(folder) / "router" / name).read_bytes() for name in (CONFIG, ARRAYS)}
        with self._writing() as connection:
            row = {**asdict(version), "content": content}
            new = insert_into(connection.engine, _VERSIONS).values(row).on_conflict_do_nothing()
            if connection.execute(new.returning(_VERSIONS.c.id)).first() is not None:
                connection.execute(insert(_FILES), list(_pieces(version.id, files)))
                self._fault("saved")
                return version
            kept, known = _version(
                connection.execute(select(_VERSIONS).where(_VERSIONS.c.id == version.id)).one()
            )
            check_same(version.id, known, content)
            version = merged(kept, version, metrics=metrics is not None)
            values = {"metrics": dict(version.metrics), "note": version.note}
            connection.execute(update(_VERSIONS).where(_VERSIONS.c.id == version.id).values(values))
            return version

    def versions(self) -> list[RouterVersion]:
        """Returns all versions, the newest first."""
        query = select(_VERSIONS).order_by(_VERSIONS.c.created_at.desc(), _VERSIONS.c.id.desc())
        with self._reading() as connection:
            return [_version(row)[0] for row in connection.execute(query)]

    def version(self, version_id: str) -> RouterVersion:
        """Returns one version, by its id or the beginning of it."""
        with self._reading() as connection:
            found = self._id(connection, version_id)
            return _version(connection.execute(select(_VERSIONS).where(_VERSIONS.c.id == found)).one())[0]

    def load(self, version_id: str) -> Router:
        """Returns the router of a version; its digest is checked.

        Raises:
            RegistryError: there is none, or its files are damaged.
        """
        from agentnet.routers.registry import load_router

        with self._reading() as connection, tempfile.TemporaryDirectory(prefix="agentnet-") as name:
            found = self._id(connection, version_id)
            for file in (CONFIG, ARRAYS):  # fixed names: what the database says is no path
                mine = (_FILES.c.version == found) & (_FILES.c.name == file)
                query = select(_FILES.c.content).where(mine).order_by(_FILES.c.part)
                with (Path(name) / file).open("wb") as out:
                    for piece in connection.execution_options(yield_per=1).execute(query).scalars():
                        out.write(piece)
            try:
                return load_router(name)
            except RouterError as error:
                told = str(error).replace(name, self.url)
                raise RegistryError(f"version {found} cannot be loaded: {told}") from None

    # -- what serves ---------------------------------------------------------------------------
    def state(self) -> Serving:
        """Returns what serves now."""
        with self._reading() as connection:
            return _book(connection, lock=False).now

    def reject(self, version_id: str, *, reason: str) -> None:
        """Writes into the history that a version was not let through."""
        with self._writing() as connection:
            found = self._id(connection, version_id)
            now = _book(connection, lock=True).now
            change = Change(
                revision=now.revision,
                action="reject",
                version=found,
                before=now.serving,
                at=time.time(),
                reason=clean(reason),
                by=this_process(),
            )
            connection.execute(insert(_CHANGES).values(asdict(change)))

    def history(self, limit: int = 100) -> list[Change]:
        """Returns the changes, the newest first."""
        names = tuple(Change.__dataclass_fields__)
        query = select(*(_CHANGES.c[name] for name in names)).order_by(_CHANGES.c.id.desc()).limit(limit)
        with self._reading() as connection:
            return [Change(**row._mapping) for row in connection.execute(query)]

    def close(self) -> None:
        """Closes the database, where `open` has opened it."""
        if self._owned:
            self._store.close()

    def _change(self, step: Step) -> Serving:
        with self._writing() as connection:
            book = _book(connection, lock=True)
            self._fault("locked")
            made = step.of(book)
            if made is None:
                return book.now
            after, change = made
            row = {"revision": after.now.revision, "book": after.to_dict()}
            connection.execute(update(_STATES).where(_STATES.c.name == _NAME).values(row))
            self._fault("changed")
            connection.execute(insert(_CHANGES).values(asdict(change)))
            self._fault("logged")
        self._fault("committed")
        return after.now

    # ------------------------------------------------------------------------------------------
    def _id(self, connection: Connection, start: str) -> str:
        return whole_id(connection.execute(select(_VERSIONS.c.id)).scalars(), start)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._database() as engine, engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with (
            self._database() as engine,
            engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def _database(self) -> Iterator[Engine]:
        try:
            yield self._store.engine
        except SQLAlchemyError as error:
            raise RegistryError(str(self._store._error(error, "keeping routers in"))) from None
        except OSError as error:
            raise RegistryError(f"a temporary folder cannot be used: {error.strerror or error}.") from None


def _book(connection: Connection, *, lock: bool) -> Book:
    """Reads the row of what serves, locked for a change; made where there is none yet."""
    query = select(_STATES.c.book).where(_STATES.c.name == _NAME)
    if not lock:
        found = connection.execute(query).scalar()
        return Book() if found is None else Book.from_dict(found)
    found = connection.execute(query.with_for_update()).scalar()
    if found is None:
        # Of several that make the first row at once, one does, and the others wait for it here.
        row = {"name": _NAME, "revision": 0, "book": Book().to_dict()}
        connection.execute(insert_into(connection.engine, _STATES).values(row).on_conflict_do_nothing())
        found = connection.execute(query.with_for_update()).scalar_one()
    return Book.from_dict(found)


def _version(row: Any) -> tuple[RouterVersion, str]:
    data = dict(row._mapping)
    content = data.pop("content")
    return RouterVersion(**data), content


def _pieces(version: str, files: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
    for name, content in files.items():
        for part, at in enumerate(range(0, max(len(content), 1), _PIECE)):
            yield {"version": version, "name": name, "part": part, "content": content[at : at + _PIECE]}
