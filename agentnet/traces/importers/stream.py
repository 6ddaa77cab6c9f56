"""JSON values and CSV rows of a file of any size, one at a time; what cannot be read is said, not fatal."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from agentnet.errors import DataError

Bad = Callable[[str], None]
"""Told of what cannot be read: where, and why."""

_CHUNK = 1 << 16
_LONGEST_LINE = 1 << 26
"""Characters of a line that is still read as one JSON value."""
_LINES = (".jsonl", ".ndjson")
_WRAPPED = re.compile(
    r'\s*\{\s*"(resourceSpans|resource_spans|resourceLogs|resource_logs|data|logs)"\s*:\s*(?=\[)'
)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|"|[{}\[\],]|\\', re.DOTALL)


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """Opens a text file, gzipped or not.

    Raises:
        DataError: it is not there or cannot be read.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}.")
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream: Any = gzip.GzipFile(fileobj=raw) if packed else raw
            with io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="") as text:
                yield text
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def json_values(path: Path, bad: Bad) -> Iterator[dict[str, Any]]:
    """Yields the JSON objects of a file: JSON lines, one array, or one object with an array in it.

    Of ``{"resourceSpans": [...]}``, written over many lines, each element is yielded alone, under the
    same key. At no time is more than one line, or one element of the array, in memory.

    Args:
        path: The file, gzipped or not.
        bad: Told of lines and elements that are no JSON objects.
    """
    with opened(path) as file:
        start = file.read(_CHUNK)
        file.seek(0)
        if path.name.lower().removesuffix(".gz").endswith(_LINES) or _has_lines(file):
            yield from _lines(file, bad)
        elif start.lstrip()[:1] == "[":
            yield from _elements(file, start.index("["), bad)
        elif wrapped := _WRAPPED.match(start):
            for element in _elements(file, wrapped.end(), bad):
                yield {wrapped[1]: [element]}
        else:
            yield from _one(file, bad)


def _has_lines(file: TextIO) -> bool:
    """Whether the first line is a whole JSON object; leaves the file at its start."""
    line = ""
    while not line.strip():
        line = file.readline(_LONGEST_LINE)
        if not line:
            break
    more = bool(file.read(1))
    file.seek(0)
    found = _parsed(line)
    # One long line with an array in it is read element by element where nothing follows it.
    return isinstance(found, dict) and (more or not _WRAPPED.match(line))


def _lines(file: TextIO, bad: Bad) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        found = _parsed(line)
        if isinstance(found, dict):
            yield found
        elif isinstance(found, list):
            yield from (item for item in found if isinstance(item, dict))
        else:
            bad(f"line {number}: no JSON object")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _one(file: TextIO, bad: Bad) -> Iterator[dict[str, Any]]:
    found = _parsed(file.read())
    if isinstance(found, dict):
        yield found
    else:
        bad("the file: no JSON object, array or lines of objects")


def _elements(file: TextIO, start: int, bad: Bad) -> Iterator[dict[str, Any]]:
    """Yields the objects of the array that opens at a character, scanning brackets and strings once."""
    file.seek(0)
    file.read(start + 1)
    text, at, begin, depth, number = "", 0, 0, 0, 0
    while True:
        match = _TOKEN.search(text, at)
        unfinished = match is None or (match[0] in ('"', "\\"))  # a string that goes on in the next chunk
        if unfinished:
            keep = match.start() if match is not None else len(text)
            more = file.read(max(_CHUNK, len(text) - begin))
            if not more:
                bad("the file ends in the middle of an array")
                return
            text, at, begin = text[begin:] + more, keep - begin, 0
            continue
        assert match is not None
        token, at = match[0], match.end()
        depth += (token in ("{", "[")) - (token in ("}", "]"))
        if depth < 0 or (depth == 0 and token == ","):
            part = text[begin : match.start()]
            number += 1
            found = _parsed(part)
            if isinstance(found, dict):
                yield found
            elif part.strip():
                bad(f"element {number}: no JSON object")
            if depth < 0:
                return
            text, at, begin = text[at:], 0, 0


def csv_rows(path: Path, bad: Bad) -> Iterator[dict[str, Any]]:
    """Yields the rows of a CSV file with a head line, fields of any length."""
    with opened(path) as file:
        before = csv.field_size_limit(_LONGEST_LINE)
        try:
            reader = csv.DictReader(file)
            while True:
                try:
                    row = next(reader, None)
                except csv.Error as error:
                    bad(f"line {reader.line_num}: {error}")
                    continue
                if row is None:
                    return
                if None in row or None in row.values():
                    bad(f"line {reader.line_num}: another number of fields than in the head")
                    continue
                yield dict(row)
        finally:
            csv.field_size_limit(before)
