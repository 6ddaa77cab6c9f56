"""`CachedEncoder`: vectors are computed once, kept in memory and, if asked, in one SQLite file."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DataError
from agentnet.outcomes.encoders.base import Encoder, check_texts

_CHUNK = 500
"""Keys in one query: below SQLite's limit on parameters in every version."""


class CachedEncoder:
    """An encoder that remembers: each text is encoded once.

    In memory the least recently used vectors are dropped first. The file (one per encoder, SQLite) may
    be shared by several processes; it holds hashes of texts and raw float32, no text and no pickle.
    Vectors of one text may differ in the last digits with the batch they were computed in; a cached one is
    always returned as it was first computed.

    >>> from agentnet.outcomes.encoders.hashing import HashingEncoder
    >>> cached = CachedEncoder(HashingEncoder(64))
    >>> cached.encode(["a", "b", "a"]).shape, cached.hits, cached.misses
    ((3, 64), 1, 2)
    """

    def __init__(self, encoder: Encoder, folder: str | Path | None = None, *, memory: int = 200_000) -> None:
        """Wraps an encoder.

        Args:
            encoder: Computes what is not known yet.
            folder: Where the file lies, made if missing; None keeps vectors in memory only.
            memory: Most vectors in memory.
        """
        self._encoder = encoder
        self._memory = max(0, memory)
        self._vectors: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()
        self.hits = 0
        """Texts found so far."""
        self.misses = 0
        """Texts encoded so far."""
        self._folder = folder
        self._beside: dict[str, CachedEncoder] = {}
        self._file: Path | None = None
        if folder is not None:
            safe = re.sub(r"[^A-Za-z0-9.-]+", "_", encoder.name)[:60]
            digest = blake2b(encoder.name.encode(), digest_size=4).hexdigest()
            self._file = Path(folder) / f"vectors-{safe}-{digest}.sqlite"
            self._create(self._file)

    @property
    def name(self) -> str:
        """The wrapped encoder's name."""
        return self._encoder.name

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self._encoder.dim

    def beside(self, encoder: Encoder) -> CachedEncoder:
        """Returns the cache of another encoder in the same folder; the same object at every call.

        Routers that look at a text in several ways share what each of them has computed.
        """
        with self._lock:
            if encoder.name not in self._beside:
                self._beside[encoder.name] = CachedEncoder(encoder, self._folder, memory=self._memory)
            return self._beside[encoder.name]

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns [n, dim] float32 unit vectors, computing only those of unknown texts."""
        items = check_texts(texts)
        if not items:
            return np.zeros((0, self.dim), np.float32)
        keys = [_key(text) for text in items]
        with self._lock:
            found = self._from_memory(keys)
        if len(found) < len(set(keys)):
            found.update(self._from_file({key for key in keys if key not in found}))
        wanted = {key: text for key, text in zip(keys, items, strict=True) if key not in found}
        if wanted:
            vectors = self._encoder.encode(list(wanted.values()))
            fresh = dict(zip(wanted, vectors, strict=True))
            self._to_file(fresh)
            found.update(fresh)
        with self._lock:
            self.misses += len(wanted)
            self.hits += len(keys) - len(wanted)
            for key, vector in found.items():
                # A copy: a row of a batch would keep the whole batch in memory.
                self._vectors[key] = vector if vector.base is None else vector.copy()
                self._vectors.move_to_end(key)
            while len(self._vectors) > self._memory:
                self._vectors.popitem(last=False)
        return np.stack([found[key] for key in keys])

    def _from_memory(self, keys: Iterable[bytes]) -> dict[bytes, NDArray[np.float32]]:
        return {key: self._vectors[key] for key in keys if key in self._vectors}

    # -- file ----------------------------------------------------------------------------------
    # A connection per call: connections must not be shared between threads or survive a fork.
    def _connect(self, file: Path) -> sqlite3.Connection:
        return sqlite3.connect(file, timeout=30)

    def _create(self, file: Path) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect(file)) as connection, connection:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID"
                )
        except (sqlite3.Error, OSError) as error:
            raise DataError(f"the vector cache {file} cannot be used: {error}; remove it.") from None

    def _from_file(self, keys: set[bytes]) -> dict[bytes, NDArray[np.float32]]:
        if self._file is None:
            return {}
        found = {}
        ordered = sorted(keys)
        try:
            with closing(self._connect(self._file)) as connection:
                for start in range(0, len(ordered), _CHUNK):
                    chunk = ordered[start : start + _CHUNK]
                    marks = ",".join("?" * len(chunk))
                    query = f"SELECT key, vector FROM vectors WHERE key IN ({marks})"
                    for key, blob in connection.execute(query, chunk):
                        found[bytes(key)] = np.frombuffer(blob, "<f4").astype(np.float32)
        except sqlite3.Error as error:
            raise DataError(f"the vector cache {self._file} cannot be read: {error}; remove it.") from None
        dim = self.dim if found else 0
        if any(vector.shape != (dim,) for vector in found.values()):
            raise DataError(f"the vector cache {self._file} holds vectors of another length; remove it.")
        return found

    def _to_file(self, fresh: dict[bytes, NDArray[np.float32]]) -> None:
        if self._file is None:
            return
        rows = [(key, np.asarray(vector, "<f4").tobytes()) for key, vector in fresh.items()]
        try:
            with closing(self._connect(self._file)) as connection, connection:
                connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            raise DataError(f"the vector cache {self._file} cannot be written: {error}; remove it.") from None


def _key(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
