"""`FolderRegistry`: routers by version in a folder of plain files.

::

    registry.json                    marks the folder
    versions/ID/router/              config.json and arrays.safetensors, as `Router.save` writes them
    versions/ID/meta.json            the `RouterVersion`
    serving.json                     what serves, and the change that made it so: the truth
    history.jsonl                    every change, a line each
    lock                             held (``flock``) while anything is changed

What serves changes by one rename of ``serving.json``, which carries its own line of history. The line is
appended to ``history.jsonl`` after it; where a process dies between the two, readers take it from
``serving.json`` and the next change writes it. So a change has either happened, with its line, or not.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agentnet.errors import RegistryError, RouterError
from agentnet.graphs.plain import plain
from agentnet.registry.book import Book, BookRegistry, Fault, Step, no_fault, this_process
from agentnet.registry.content import check_same, clean, content_of, described, keepable, merged, whole_id
from agentnet.registry.records import Change, RouterVersion, Serving
from agentnet.routers.base import Router

FORMAT = 1
_MARK, _STATE, _HISTORY, _LOCK = "registry.json", "serving.json", "history.jsonl", "lock"
_STALE_S = 86400.0
"""Age at which what a killed `FolderRegistry.add` left behind is taken away."""


class FolderRegistry(BookRegistry):
    """Keeps routers in a folder; for the processes of one machine.

    ``flock`` may do nothing on network drives: let several machines use a `DatabaseRegistry`.

    Args:
        path: The folder.
        create: Whether to make it where it is not there.
        lock_s: Seconds to wait for another process's change.
        fault: Called at every point of a change; for tests.

    Raises:
        RegistryError: it is not there, is something else, or a newer agentnet has written it.

    >>> from agentnet import Agent, Pool, make_router
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     registry = FolderRegistry(f"{folder}/registry")
    ...     version = registry.add(make_router("random", seed=1), note="to begin with")
    ...     registry.promote(version.id[:6]).revision, registry.load(version.id).name
    (1, 'random')
    """

    def __init__(
        self, path: str | Path, *, create: bool = True, lock_s: float = 10.0, fault: Fault = no_fault
    ) -> None:
        self._path = Path(path).expanduser().absolute()
        self._lock_s = lock_s
        self._fault = fault
        self.url = str(self._path)
        with _told(self.url):
            self._open(create)

    def _open(self, create: bool) -> None:
        mark = self._path / _MARK
        if not mark.is_file():
            if not create:
                raise RegistryError(
                    f"there is no registry in {self._path}; `agentnet registry add DIR --registry "
                    f"{self._path}` makes one."
                )
            if self._path.exists() and (not self._path.is_dir() or not self._ours()):
                raise RegistryError(f"{self._path} holds something else; choose another folder.")
            (self._path / "versions").mkdir(parents=True, exist_ok=True)
            _replace(mark, {"format": FORMAT})
        found = _read(mark).get("format")
        if not isinstance(found, int) or found > FORMAT:
            raise RegistryError(
                f"the registry {self._path} has format {found}; this agentnet reads {FORMAT}. Update it."
            )

    def _ours(self) -> bool:
        """Whether the folder is empty, or is being made a registry right now by another process."""
        return all(
            item.name in ("versions", _MARK) or item.name.startswith(".") for item in self._path.iterdir()
        )

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
        place = self._versions / version.id
        with _told(self.url):
            fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=self._versions))
            try:
                if not place.is_dir():
                    router.save(fresh / "router")
                    _replace(fresh / "meta.json", {**asdict(version), "content": content})
                    fresh.chmod(0o755)
                self._fault("saved")
                with self._locked():
                    self._sweep()
                    if not place.is_dir():
                        fresh.rename(place)
                        _sync(self._versions)
                        return version
                    kept, known = self._meta(version.id)
                    check_same(version.id, known, content)
                    version = merged(kept, version, metrics=metrics is not None)
                    _replace(place / "meta.json", {**asdict(version), "content": content})
                    return version
            except RouterError as error:
                raise RegistryError(f"the router cannot be kept: {error}") from None
            finally:
                shutil.rmtree(fresh, ignore_errors=True)

    def versions(self) -> list[RouterVersion]:
        """Returns all versions, the newest first."""
        with _told(self.url):
            found = [self._meta(name)[0] for name in self._ids()]
        return sorted(found, key=lambda version: (version.created_at, version.id), reverse=True)

    def version(self, version_id: str) -> RouterVersion:
        """Returns one version, by its id or the beginning of it."""
        with _told(self.url):
            return self._meta(whole_id(self._ids(), version_id))[0]

    def load(self, version_id: str) -> Router:
        """Returns the router of a version; its digest is checked.

        Raises:
            RegistryError: there is none, or its files are damaged.
        """
        from agentnet.routers.registry import load_router

        with _told(self.url):
            found = whole_id(self._ids(), version_id)
            try:
                return load_router(self._versions / found / "router")
            except RouterError as error:
                raise RegistryError(f"version {found} cannot be loaded: {error}") from None

    # -- what serves ---------------------------------------------------------------------------
    def state(self) -> Serving:
        """Returns what serves now."""
        with _told(self.url):
            return self._book()[0].now

    def reject(self, version_id: str, *, reason: str) -> None:
        """Writes into the history that a version was not let through."""
        found = self.version(version_id).id
        with _told(self.url), self._locked():
            now = self._repaired().now
            self._append(
                Change(
                    revision=now.revision,
                    action="reject",
                    version=found,
                    before=now.serving,
                    at=time.time(),
                    reason=clean(reason),
                    by=this_process(),
                )
            )

    def history(self, limit: int = 100) -> list[Change]:
        """Returns the changes, the newest first."""
        with _told(self.url):
            last = self._book()[1]  # first: a change meanwhile is then at most read twice, never missed
            found = self._lines()[0]
        if last is not None and not _has(found, last):
            found.append(last)
        return found[::-1][:limit]

    def _change(self, step: Step) -> Serving:
        with _told(self.url), self._locked():
            self._fault("locked")
            book = self._repaired()
            made = step.of(book)
            if made is None:
                return book.now
            after, change = made
            state = {"format": FORMAT, **after.to_dict(), "change": asdict(change)}
            _replace(self._path / _STATE, state, self._fault)
            self._fault("changed")
            self._append(change)
            self._fault("logged")
            return after.now

    # ------------------------------------------------------------------------------------------
    @property
    def _versions(self) -> Path:
        return self._path / "versions"

    def _ids(self) -> list[str]:
        return [item.name for item in self._versions.iterdir() if not item.name.startswith(".")]

    def _meta(self, version_id: str) -> tuple[RouterVersion, str]:
        data = _read(self._versions / version_id / "meta.json")
        content = str(data.pop("content", ""))
        try:
            return RouterVersion(**data), content
        except TypeError:
            raise RegistryError(f"{self._versions / version_id / 'meta.json'} is damaged.") from None

    def _book(self) -> tuple[Book, Change | None]:
        """Returns the book and the change that made it."""
        file = self._path / _STATE
        if not file.exists():
            return Book(), None
        data = _read(file)
        try:
            return Book.from_dict(data), Change(**data["change"])
        except (KeyError, TypeError, ValueError):
            raise RegistryError(f"{file} is damaged: restore it, or delete it and promote again.") from None

    def _repaired(self) -> Book:
        """Returns the book; writes the line of history that a killed process has not. Needs the lock."""
        for half in self._path.glob(f".{_STATE}.*"):
            half.unlink(missing_ok=True)
        book, last = self._book()
        lines, whole = self._lines()
        file = self._path / _HISTORY
        if file.exists() and whole < file.stat().st_size:
            os.truncate(file, whole)  # half a line
        if last is not None and not _has(lines, last):
            self._append(last)
        return book

    def _lines(self) -> tuple[list[Change], int]:
        """Returns the history's changes, the oldest first, and the bytes that are whole lines."""
        try:
            text = (self._path / _HISTORY).read_bytes()
        except FileNotFoundError:
            return [], 0
        whole = text[: text.rfind(b"\n") + 1]
        try:
            return [Change(**json.loads(line)) for line in whole.splitlines()], len(whole)
        except (ValueError, TypeError):
            raise RegistryError(
                f"{self._path / _HISTORY} is damaged: move it away to begin another."
            ) from None

    def _append(self, change: Change) -> None:
        with (self._path / _HISTORY).open("ab") as file:
            file.write((_json(asdict(change)) + "\n").encode("utf-8", "replace"))
            file.flush()
            os.fsync(file.fileno())

    def _sweep(self) -> None:
        """Takes away what a killed `add` left; needs the lock."""
        for item in self._versions.glob(".new-*"):
            if time.time() - item.stat().st_mtime > _STALE_S:
                shutil.rmtree(item, ignore_errors=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Holds the registry's lock: against other processes, and against this one's threads."""
        deadline = time.monotonic() + self._lock_s
        with (self._path / _LOCK).open("ab") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise RegistryError(
                            f"another process has been changing the registry {self._path} for "
                            f"{self._lock_s:g} s; is it stuck?"
                        ) from None
                    time.sleep(0.005)
            try:
                yield
            finally:  # not left to closing: a child forked meanwhile holds the same lock open
                fcntl.flock(file, fcntl.LOCK_UN)


def _has(lines: list[Change], change: Change) -> bool:
    return any(line.revision == change.revision and line.action != "reject" for line in reversed(lines))


def _json(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False)


def _read(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise RegistryError(f"{file} is missing: restore it.") from None
    except ValueError:
        raise RegistryError(f"{file} is damaged: it is not JSON.") from None
    if not isinstance(data, dict):
        raise RegistryError(f"{file} is damaged: it is no object.")
    return data


def _replace(file: Path, value: Mapping[str, Any], fault: Fault = no_fault) -> None:
    """Writes a file as a whole: under another name, forced to the disk, then renamed."""
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as fresh:
            fresh.write((_json(value) + "\n").encode("utf-8", "replace"))
            fresh.flush()
            os.fsync(fresh.fileno())
        Path(name).chmod(0o644)
        fault("written")
        Path(name).rename(file)
        fault("renamed")
        _sync(file.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _sync(folder: Path) -> None:
    """Forces a folder's names to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Turns what the disk refuses into a RegistryError."""
    try:
        yield
    except OSError as error:
        raise RegistryError(f"the registry {where} cannot be used: {error.strerror or error}.") from None
