"""Columns of a pack's parquet files, and reading them with errors that say what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from agentnet.errors import DataError

METRICS = ("exact_match", "choice", "f1", "pass@1", "label", "verifier", "judge", "")
"""How a score was made; empty is unknown. ``label``: right is the agent whose name is the gold."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a parquet file."""

    name: str
    kind: Literal["text", "number"]
    required: bool = True
    nullable: bool = False
    low: float = 0.0
    high: float = np.inf
    open_low: bool = False
    """Whether ``low`` itself is out of range."""


QUERY_COLUMNS = (
    Column("query_id", "text"),
    Column("text", "text"),
    Column("split", "text"),
    Column("task", "text", required=False, nullable=True),
    Column("context", "text", required=False, nullable=True),
    Column("gold", "text", required=False, nullable=True),
    Column("metric", "text", required=False, nullable=True),
    Column("history", "text", required=False, nullable=True),
)
OUTCOME_COLUMNS = (
    Column("query_id", "text"),
    Column("agent", "text"),
    Column("score", "number", nullable=True, high=1.0),
    Column("cost_usd", "number", required=False, nullable=True),
    Column("latency_s", "number", required=False, nullable=True),
    Column("propensity", "number", required=False, nullable=True, high=1.0, open_low=True),
    Column("weight", "number", required=False, nullable=True),
    Column("prompt_tokens", "number", required=False, nullable=True),
    Column("completion_tokens", "number", required=False, nullable=True),
    Column("response", "text", required=False, nullable=True),
)


def read_columns(file: Path, columns: Sequence[Column]) -> dict[str, Any]:
    """Reads the known columns of a parquet file as checked Arrow arrays; others are ignored.

    Args:
        file: The parquet file.
        columns: What is read; a column that is absent and not required is left out of the result.

    Raises:
        DataError: the file is missing or no parquet file, or a column is missing, of the wrong type, or
            holds a value that cannot be used.
    """
    if not file.is_file():
        raise DataError(f"{file} is missing; a pack is a folder with queries.parquet and agents.json.")
    try:
        with pq.ParquetFile(file) as source:
            present = set(source.schema_arrow.names)
            if lacking := [c.name for c in columns if c.required and c.name not in present]:
                raise DataError(
                    f"{file} lacks the column {lacking[0]!r}; it has {sorted(present)}, and "
                    f"{[c.name for c in columns if c.required]} are needed."
                )
            table = source.read([c.name for c in columns if c.name in present])
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} cannot be read as parquet; write it again: {error}") from None
    return {
        c.name: _checked(file, c, table.column(c.name).combine_chunks()) for c in columns if c.name in present
    }


def _checked(file: Path, column: Column, values: Any) -> Any:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    empty = pa.types.is_null(values.type)
    if column.kind == "text":
        fits = any(test(values.type) for test in (pa.types.is_string, pa.types.is_large_string))
        target = pa.string() if empty or not pa.types.is_large_string(values.type) else pa.large_string()
    else:
        number = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
        fits, target = any(test(values.type) for test in number), pa.float64()
    if not fits and not empty:
        raise DataError(f"{file}: column {column.name!r} must hold {column.kind}s; it holds {values.type}.")
    if values.null_count and not column.nullable:
        row = int(np.flatnonzero(pc.is_null(values).to_numpy(zero_copy_only=False))[0])
        raise DataError(f"{file}: column {column.name!r} must not be null; row {row} is.")
    values = values.cast(target, safe=False)
    if column.kind == "number":
        _check_range(file, column, values)
    return values


def _check_range(file: Path, column: Column, values: Any) -> None:
    known = values.drop_null().to_numpy()
    below = known <= column.low if column.open_low else known < column.low
    bad = np.isnan(known) | below | (known > column.high) | np.isinf(known)
    if bad.any():
        where = np.flatnonzero(pc.is_valid(values).to_numpy(zero_copy_only=False))[np.flatnonzero(bad)[0]]
        span = f"{'(' if column.open_low else '['}{column.low:g}, {column.high:g}]"
        unknown = "; write null where it is unknown" if column.nullable else ""
        raise DataError(
            f"{file}: column {column.name!r} has {known[bad][0]} in row {where}; it must lie in "
            f"{span}{unknown}."
        )


def to_floats(values: Any, empty: float = np.nan) -> NDArray[np.float64]:
    """Returns a number column as float64, ``empty`` where it is null."""
    filled: NDArray[np.float64] = values.fill_null(empty).to_numpy(zero_copy_only=False)
    return filled


def first_duplicate(values: Any) -> str | None:
    """Returns the first value that stands twice in a text column, or None."""
    counts = pc.value_counts(values)
    twice = counts.filter(pc.greater(counts.field("counts"), 1))
    return str(twice[0]["values"].as_py()) if len(twice) else None
