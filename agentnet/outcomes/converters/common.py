"""What the converters share: reading files with clear errors, ids, and parsing of text lists."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from agentnet.errors import DataError


def query_ids(prefix: str, keys: Sequence[str]) -> NDArray[np.str_]:
    """Returns ids made of a prefix and a short hash of each key."""
    digests = (blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest() for key in keys)
    return np.array([f"{prefix}-{digest}" for digest in digests], dtype=np.str_)


def read_json(file: Path) -> Any:
    """Reads a JSON file.

    Raises:
        DataError: it is missing or no JSON.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise DataError(f"{file} is not valid JSON: {error}") from None


def read_json_lines(file: Path) -> Iterator[Any]:
    """Yields the values of a JSON Lines file.

    Raises:
        DataError: it is missing or a line is no JSON; the message names the line.
    """
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    try:
                        yield json.loads(line)
                    except ValueError as error:
                        raise DataError(f"{file}: line {number} is not valid JSON: {error}") from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise DataError(f"{file} is not UTF-8; convert it first.") from None


def read_table(file: Path, *, text: Sequence[str]) -> dict[str, list[Any]]:
    """Reads a CSV or parquet file as columns.

    Args:
        file: Ends in ``.csv`` or ``.parquet``.
        text: Columns that hold text even where all values look like numbers.

    Raises:
        DataError: it is missing, a pickle, or cannot be parsed.
    """
    kind = file.suffix.lower()
    if kind in (".pkl", ".pickle"):
        raise DataError(
            f"{file} is a pickle, which can run any code when it is read, so it is not. Convert it where "
            f"you trust it: python -c \"import pandas; pandas.read_pickle('{file.name}')"
            f".to_parquet('{file.stem}.parquet')\""
        )
    if kind not in (".csv", ".parquet"):
        raise DataError(f"{file} must end in .csv or .parquet.")
    if not file.is_file():
        raise DataError(f"{file} does not exist.")
    try:
        if kind == ".parquet":
            table = pq.read_table(file)
        else:
            table = pacsv.read_csv(
                file,
                parse_options=pacsv.ParseOptions(newlines_in_values=True),
                convert_options=pacsv.ConvertOptions(
                    column_types={name: pa.string() for name in text}, strings_can_be_null=False
                ),
            )
        columns: dict[str, list[Any]] = table.to_pydict()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be parsed as {kind[1:]}: {error}") from None
    if not columns or not next(iter(columns.values())):
        raise DataError(f"{file} has no rows.")
    return columns


def plain_text(value: Any) -> str | None:
    r"""Returns text from text, a list of texts, or the ``repr`` of such a list.

    >>> plain_text("['first', 'second']"), plain_text(["a"]), plain_text(None)
    ('first\nsecond', 'a', None)
    """
    if isinstance(value, str) and value[:1] == "[" and value[-1:] == "]":
        try:
            parsed = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return value
        if isinstance(parsed, list) and parsed and all(isinstance(part, str) for part in parsed):
            return "\n".join(parsed)
        return value
    if isinstance(value, list):
        return "\n".join(str(part) for part in value)
    return None if value is None else str(value)


def to_number(value: Any, what: str) -> float:
    """Returns a number; NaN for None and empty text, 1 and 0 for true and false.

    Raises:
        DataError: it is something else.
    """
    if value is None or value == "":
        return float("nan")
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return float(value.strip().lower() == "true")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DataError(f"{what} must be a number or true or false; got {value!r}.") from None
