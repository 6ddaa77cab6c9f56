"""Packs: folders with recorded outcomes that routers learn from and are measured on.

A pack holds ``queries.parquet``, ``agents.json`` and, unless its metric is ``label``,
``outcomes.parquet``; ``runs.parquet`` (runs of whole graphs) is optional.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from agentnet.errors import DataError, PoolError, TaskError
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import MAX_CONTEXT, MAX_TEXT, Message
from agentnet.outcomes.runs import read_runs, write_runs
from agentnet.outcomes.schema import (
    METRICS,
    OUTCOME_COLUMNS,
    QUERY_COLUMNS,
    first_duplicate,
    read_columns,
    to_floats,
)
from agentnet.outcomes.table import SPLITS, Outcomes, Queries

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_MATRICES = {
    "score": ("score", np.float32),
    "cost": ("cost_usd", np.float64),
    "latency_s": ("latency_s", np.float32),
    "propensity": ("propensity", np.float32),
    "weight": ("weight", np.float32),
    "prompt_tokens": ("prompt_tokens", np.float64),
    "completion_tokens": ("completion_tokens", np.float64),
}
"""Matrix of `Outcomes` -> column of ``outcomes.parquet`` and type in memory."""


def load_outcomes(
    source: str | Path, *, split: str | Sequence[str] | None = None, pool: Pool | None = None
) -> Outcomes:
    """Loads a pack folder, or the outcomes logged in a trace database.

    Args:
        source: A pack's folder, or a database URL such as ``sqlite:///agentnet.db``.
        split: Keep only this split, or these (``train``, ``val``, ``test``).
        pool: Agents to use as columns instead of the pack's own; ones without outcomes get NaN, in label
            packs they are scored by their names.

    Raises:
        DataError: a file or column is missing or wrong; the message names it and says what to do.
    """
    if isinstance(source, str) and _URL.match(source):
        export = import_module("agentnet.traces.export")  # by name: a floor above this one
        outcomes = cast(Outcomes, export.to_outcomes(source))
        outcomes = outcomes if pool is None else outcomes.for_pool(pool)
    else:
        outcomes = _load_folder(Path(source), pool)
    if split is None:
        return outcomes
    return outcomes.split(*((split,) if isinstance(split, str) else split))


def load_queries(folder: str | Path) -> Queries:
    """Loads only the queries of a pack, also of one without agents and outcomes.

    Raises:
        DataError: the file or a column is missing or wrong.
    """
    folder = _pack_folder(Path(folder))
    file = folder / "queries.parquet"
    columns = read_columns(file, QUERY_COLUMNS)
    _check_queries(file, columns)
    n = len(columns["query_id"])

    def optional(name: str, empty: str | None) -> tuple[Any, ...]:
        if name not in columns:
            return (empty,) * n
        return tuple(
            columns[name].fill_null(empty).to_pylist() if empty is not None else columns[name].to_pylist()
        )

    return Queries(
        query_id=np.array(columns["query_id"].to_pylist(), dtype=np.str_),
        text=tuple(columns["text"].to_pylist()),
        split=np.array(columns["split"].to_pylist(), dtype=np.str_),
        context=optional("context", None),
        history=_histories(file, columns.get("history"), n),
        task=optional("task", ""),
        gold=optional("gold", None),
        metric=optional("metric", ""),
    )


def load_agents(file: str | Path) -> Pool:
    """Loads a pool from a JSON list of agents, such as a pack's ``agents.json``.

    Raises:
        DataError: the file is missing, not JSON, empty, or an agent cannot be used.
    """
    file = Path(file)
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{file} cannot be read: {error.strerror}; it holds the JSON list of agents."
        ) from None
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise DataError(f"{file} is not valid JSON: {error}") from None
    if data == []:
        raise DataError(
            f"{file} is an empty list: this pack has no agents to route to, only queries. "
            "Load them with load_queries, or name a file of agents."
        )
    try:
        return Pool.from_list(data)
    except PoolError as error:
        raise DataError(f"{file}: {error}") from None
    except (TypeError, ValueError) as error:
        raise DataError(f"{file}: an agent has a value of the wrong type: {error}") from None


def save_pack(outcomes: Outcomes, folder: str | Path) -> None:
    """Writes outcomes as a pack, in the schema that `load_outcomes` reads, without loss.

    Callables and tools of agents are not written. Each file is replaced as a whole.

    Args:
        outcomes: What to write; a cell of which nothing is known makes no row.
        folder: Where to; made if missing.
    """
    folder = Path(folder)
    save_queries(outcomes.queries, folder)
    _write_text(json.dumps(outcomes.pool.to_list(), indent=1, ensure_ascii=False), folder / "agents.json")
    _remove_or_write(None if _is_label(outcomes) else _outcome_table(outcomes), folder / "outcomes.parquet")
    _remove_or_write(write_runs(outcomes.runs) if outcomes.runs else None, folder / "runs.parquet")


def save_queries(queries: Queries, folder: str | Path) -> None:
    """Writes a pack without agents and outcomes, which `load_queries` reads."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, Any] = {
        "query_id": pa.array(queries.query_id.tolist(), pa.string()),
        "task": pa.array(queries.task, pa.string()),
        "text": pa.array(queries.text, pa.string()),
        "context": pa.array(queries.context, pa.string()),
        "gold": pa.array(queries.gold, pa.string()),
        "metric": pa.array(queries.metric, pa.string()),
        "split": pa.array(queries.split.tolist(), pa.string()),
    }
    if any(queries.history):
        turns = [
            json.dumps([turn.to_dict() for turn in history], ensure_ascii=False) if history else None
            for history in queries.history
        ]
        columns["history"] = pa.array(turns, pa.string())
    _write_parquet(pa.table(columns), folder / "queries.parquet")
    _write_text("[]", folder / "agents.json")


def _load_folder(folder: Path, pool: Pool | None) -> Outcomes:
    folder = _pack_folder(folder)
    queries = load_queries(folder)
    file = folder / "outcomes.parquet"
    source = folder.resolve().name
    runs = read_runs(folder / "runs.parquet", set(queries.query_id.tolist()))
    if file.is_file():
        outcomes = _read_outcomes(file, queries, load_agents(folder / "agents.json"), source, runs)
        return outcomes if pool is None else outcomes.for_pool(pool)
    own = pool or load_agents(folder / "agents.json")
    if others := sorted(set(queries.metric) - {"label"}):
        raise DataError(
            f"{file} is missing. Only a pack whose metric is 'label' everywhere needs none; "
            f"this one also has {others}. Without outcomes, load_queries reads the questions."
        )
    if None in queries.gold:
        raise DataError(
            f"{folder / 'queries.parquet'}: column 'gold' must name the right agent in a pack of metric "
            f"'label' ('oos' where there is none); row {queries.gold.index(None)} is null."
        )
    return Outcomes.from_labels(queries, own, source=source, runs=runs)


def _pack_folder(folder: Path) -> Path:
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise DataError(f"{folder} {what}; a pack is a folder with queries.parquet and agents.json.")
    if not (folder / "queries.parquet").is_file():
        inner = sorted(path.parent.name for path in folder.glob("*/queries.parquet"))
        hint = f"it holds the packs {inner}: name one of them" if inner else "that file is needed"
        raise DataError(f"{folder} has no queries.parquet; {hint}.")
    return folder


def _check_queries(file: Path, columns: dict[str, Any]) -> None:
    ids = columns["query_id"]
    if not len(ids):
        raise DataError(f"{file} has no rows; a pack needs at least one query.")
    if (twice := first_duplicate(ids)) is not None:
        raise DataError(f"{file}: query_id {twice!r} stands twice; every query has one row.")
    # NumPy drops trailing NULs of text, which would change an id.
    for name, bad in (("query_id", "\0"), ("split", "\0")):
        if pc.any(pc.match_substring(columns[name], bad)).as_py():
            raise DataError(f"{file}: column {name!r} holds a NUL character; remove it.")
    for name, known in (("split", SPLITS), ("metric", METRICS)):
        if name in columns:
            found = set(pc.unique(columns[name]).to_pylist()) - {None}
            if unknown := sorted(found - set(known)):
                raise DataError(
                    f"{file}: unknown {name} {unknown[0]!r}; a {name} is one of {[k for k in known if k]}."
                )
    blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(columns["text"])), 0)
    if pc.any(blank).as_py():
        raise DataError(f"{file}: column 'text' is empty in row {blank.index(True).as_py()}.")
    for name, limit in (("text", MAX_TEXT), ("context", MAX_CONTEXT)):
        longest = pc.max(pc.utf8_length(columns[name])).as_py() if name in columns else None
        if longest is not None and longest > limit:
            raise DataError(f"{file}: column {name!r} has {longest:,} characters; at most {limit:,} fit.")


def _histories(file: Path, column: Any, n: int) -> tuple[tuple[Message, ...], ...]:
    if column is None or column.null_count == n:
        return ((),) * n
    result: list[tuple[Message, ...]] = []
    for row, text in enumerate(column.to_pylist()):
        try:
            turns = [Message(turn["role"], turn["content"]) for turn in json.loads(text)] if text else []
            if not all(isinstance(t.role, str) and isinstance(t.content, str) for t in turns):
                raise TaskError("role and content must be text")
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{file}: column 'history' in row {row} must be a JSON list of "
                f'{{"role": ..., "content": ...}}: {error}'
            ) from None
        result.append(tuple(turns))
    return tuple(result)


def _read_outcomes(file: Path, queries: Queries, pool: Pool, source: str, runs: tuple[Any, ...]) -> Outcomes:
    columns = read_columns(file, OUTCOME_COLUMNS)
    row = _positions(file, "query_id", columns["query_id"], queries.query_id.tolist(), "in queries.parquet")
    column = _positions(file, "agent", columns["agent"], list(pool.names), "in agents.json")
    shape = (len(queries), len(pool))
    cell = row * shape[1] + column
    counts = np.bincount(cell, minlength=shape[0] * shape[1])
    if counts.size and counts.max() > 1:
        twice = int(counts.argmax())
        query, agent = queries.query_id[twice // shape[1]], pool.names[twice % shape[1]]
        raise DataError(f"{file}: agent {agent!r} has two rows on query {query!r}; keep one.")
    matrices: dict[str, NDArray[Any]] = {}
    for name, (key, dtype) in _MATRICES.items():
        empty = 1.0 if name == "weight" else np.nan
        matrix = np.full(shape, empty, dtype)
        if key in columns:
            matrix.reshape(-1)[cell] = to_floats(columns[key], empty)
        matrices[name] = matrix
    response = None
    if "response" in columns and columns["response"].null_count < len(cell):
        response = np.full(shape, None, object)
        response.reshape(-1)[cell] = columns["response"].to_numpy(zero_copy_only=False)
    return Outcomes(
        queries=queries, pool=pool, response=response, runs=runs, source=source, **cast(Any, matrices)
    )


def _positions(file: Path, name: str, values: Any, known: list[str], where: str) -> NDArray[np.intp]:
    index = pc.index_in(values, value_set=pa.array(known, values.type))
    if index.null_count:
        first = values.filter(pc.is_null(index))[0].as_py()
        raise DataError(f"{file}: {name} {first!r} is not {where}; add it there or drop its rows.")
    return cast("NDArray[np.intp]", index.to_numpy().astype(np.intp))


def _is_label(outcomes: Outcomes) -> bool:
    """Whether the scores follow from the gold labels alone, so that a reader can make them again."""
    queries = outcomes.queries
    if outcomes.kind != "label" or set(queries.metric) != {"label"} or None in queries.gold:
        return False
    again = Outcomes.from_labels(queries, outcomes.pool)
    return outcomes.response is None and all(
        np.array_equal(getattr(outcomes, name), getattr(again, name), equal_nan=True) for name in _MATRICES
    )


def _outcome_table(outcomes: Outcomes) -> Any:
    known = outcomes.weight != 1
    for name in _MATRICES:
        if name != "weight":
            known = known | ~np.isnan(getattr(outcomes, name))
    if outcomes.response is not None:
        known = known | (outcomes.response != None)  # noqa: E711 - elementwise
    row, column = np.nonzero(known)
    ids = pa.array(outcomes.queries.query_id.tolist(), pa.string())
    columns = {"query_id": ids.take(row), "agent": pa.array(outcomes.agents, pa.string()).take(column)}
    for name, (key, _) in _MATRICES.items():
        values = getattr(outcomes, name)[row, column].astype(np.float64)
        array = pa.array(values, from_pandas=True)  # NaN becomes null
        whole = key.endswith("tokens") and not (np.nan_to_num(values) % 1).any()
        columns[key] = array.cast(pa.int64()) if whole else array
    texts = [None] * len(row) if outcomes.response is None else outcomes.response[row, column].tolist()
    columns["response"] = pa.array(texts, pa.string())
    return pa.table(columns)


def _remove_or_write(table: Any, file: Path) -> None:
    if table is None:
        file.unlink(missing_ok=True)
    else:
        _write_parquet(table, file)


def _write_parquet(table: Any, file: Path) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    pq.write_table(table, temporary, compression="zstd")
    temporary.replace(file)


def _write_text(text: str, file: Path) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
