"""`GraphCache`: knowledge graphs are extracted once, kept in memory and, if asked, in one SQLite file."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

from agentnet.errors import DataError
from agentnet.graphs.knowledge.extract import Extractor
from agentnet.graphs.knowledge.graph import KnowledgeGraph
from agentnet.graphs.task import Task

FORMAT = "1"
"""Changes when an extractor's rules do, so that old graphs are not taken for new ones."""
_CHUNK = 500


def task_key(task: Task) -> bytes:
    """Returns the content hash of what a graph is made from: text and context."""
    digest = blake2b(task.text.encode("utf-8", "surrogatepass"), digest_size=16)
    digest.update(b"\0" + (task.context or "").encode("utf-8", "surrogatepass"))
    return digest.digest()


class GraphCache:
    """An extractor that remembers; safe to share between threads.

    The file holds words of the tasks (entities and relations) as JSON: keep it where the tasks may lie.

    >>> from agentnet.graphs.knowledge.rules import RuleExtractor
    >>> cache = GraphCache(RuleExtractor())
    >>> graphs = cache.extract([Task("Who is Ada Lovelace?"), Task("Who is Ada Lovelace?")])
    >>> graphs[0] is graphs[1], cache.misses
    (True, 1)
    """

    def __init__(
        self, extractor: Extractor, folder: str | Path | None = None, *, memory: int = 20_000
    ) -> None:
        """Wraps an extractor.

        Args:
            extractor: Reads what is not known yet.
            folder: Where the file lies, made if missing; None keeps graphs in memory only.
            memory: Most graphs in memory; the least recently used is dropped first.
        """
        self._extractor = extractor
        self._memory = max(1, memory)
        self._graphs: OrderedDict[bytes, KnowledgeGraph] = OrderedDict()
        self._lock = threading.Lock()
        self.misses = 0
        """Tasks read so far."""
        self._file: Path | None = None
        if folder is not None:
            safe = re.sub(r"[^A-Za-z0-9.-]+", "_", extractor.name)[:60]
            self._file = Path(folder) / f"graphs-{safe}-{FORMAT}.sqlite"
            self._create(self._file)

    @property
    def name(self) -> str:
        """The wrapped extractor's name."""
        return self._extractor.name

    def extract(self, tasks: Sequence[Task]) -> list[KnowledgeGraph]:
        """Returns the graph of each task, reading only unknown ones."""
        keys = [task_key(task) for task in tasks]
        with self._lock:
            found = {key: self._graphs[key] for key in keys if key in self._graphs}
        if len(found) < len(keys) and self._file is not None:
            found.update(self._from_file({key for key in keys if key not in found}))
        wanted = {key: task for key, task in zip(keys, tasks, strict=True) if key not in found}
        if wanted:
            fresh = dict(zip(wanted, self._extractor.extract(list(wanted.values())), strict=True))
            self._to_file(fresh)
            found.update(fresh)
        with self._lock:
            self.misses += len(wanted)
            for key, graph in found.items():
                self._graphs[key] = graph
                self._graphs.move_to_end(key)
            while len(self._graphs) > self._memory:
                self._graphs.popitem(last=False)
        return [found[key] for key in keys]

    # -- file: a connection per call, for connections must not be shared between threads -----------
    def _create(self, file: Path) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(file, timeout=30)) as connection, connection:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS graphs (key BLOB PRIMARY KEY, graph TEXT) WITHOUT ROWID"
                )
        except (sqlite3.Error, OSError) as error:
            raise DataError(f"the graph cache {file} cannot be used: {error}; remove it.") from None

    def _from_file(self, keys: Iterable[bytes]) -> dict[bytes, KnowledgeGraph]:
        assert self._file is not None
        ordered, found = sorted(keys), {}
        try:
            with closing(sqlite3.connect(self._file, timeout=30)) as connection:
                for start in range(0, len(ordered), _CHUNK):
                    chunk = ordered[start : start + _CHUNK]
                    query = f"SELECT key, graph FROM graphs WHERE key IN ({','.join('?' * len(chunk))})"
                    for key, text in connection.execute(query, chunk):
                        found[bytes(key)] = KnowledgeGraph.from_dict(json.loads(text))
        except (sqlite3.Error, ValueError) as error:
            raise DataError(f"the graph cache {self._file} cannot be read: {error}; remove it.") from None
        return found

    def _to_file(self, fresh: dict[bytes, KnowledgeGraph]) -> None:
        if self._file is None:
            return
        rows = [(key, graph.to_json()) for key, graph in fresh.items()]
        try:
            with closing(sqlite3.connect(self._file, timeout=30)) as connection, connection:
                connection.executemany("INSERT OR IGNORE INTO graphs VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            raise DataError(f"the graph cache {self._file} cannot be written: {error}; remove it.") from None
