"""LLMRouterBench: one record per data set, model and question."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agentnet.errors import DataError
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.converters.common import query_ids, read_json, read_json_lines, to_number
from agentnet.outcomes.splits import hash_split
from agentnet.outcomes.table import Outcomes, Queries

_NAMES = {
    "dataset": ("dataset_id", "dataset_name", "dataset"),
    "split": ("split",),
    "model": ("model_name", "model"),
    "index": ("record_index", "index"),
    "query": ("origin_query", "query"),
    "prompt": ("prompt",),
    "prediction": ("prediction",),
    "raw_output": ("raw_output",),
    "gold": ("ground_truth",),
    "score": ("score",),
    "prompt_tokens": ("prompt_tokens",),
    "completion_tokens": ("completion_tokens",),
    "cost": ("cost",),
}
"""Field -> names it goes by, in result files and in flat records."""
_STAMP = re.compile(r"(\d{8})_(\d{6})(?=\.jsonl?$)")


def from_llmrouterbench(path: str | Path) -> Outcomes:
    """Reads records of LLMRouterBench (Li et al. 2026).

    Result files are objects with ``dataset_name``, ``split``, ``model_name`` and ``records``; flat records (a
    JSON list, or JSON Lines) carry these fields themselves. Of several files for one data set, split and
    model the one with the latest time in its name counts; demo files are skipped. The query's text is the
    original question, or the prompt where there is none. Splits are made by hash, 70 / 10 / 20, because
    the source's own are the parts of the benchmarks asked. A cost of exactly 0 means that no price
    was known, and stays unknown.

    Args:
        path: A ``.json`` or ``.jsonl`` file, or a folder of them (sub-folders included).

    Raises:
        DataError: a file is not of this form, or a record lacks a field.
    """
    path = Path(path)
    files = sorted(p for p in path.rglob("*") if p.suffix in (".json", ".jsonl")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path} holds no .json or .jsonl file.")
    latest: dict[tuple[str, str, str], tuple[str, Path]] = {}
    kept: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for file in files:
        stamp = "".join(match.groups()) if (match := _STAMP.search(file.name)) else ""
        for record in _records(file):
            key = (record["dataset"], record["split"], record["model"])
            newest = latest.setdefault(key, (stamp, file))
            if newest[1] != file:
                if stamp < newest[0]:
                    continue
                if stamp == newest[0]:  # parts of one export
                    kept[key].append(record)
                    continue
                latest[key], kept[key] = (stamp, file), []
            kept.setdefault(key, []).append(record)
    records = [record for rows in kept.values() for record in rows]
    if not records:
        raise DataError(f"{path} holds no records.")
    return _outcomes(path, records)


def _outcomes(path: Path, records: list[dict[str, Any]]) -> Outcomes:
    firsts: dict[tuple[str, str, str], dict[str, Any]] = {}
    for record in records:
        firsts.setdefault(_key(record), record)
    texts = [first["text"] for first in firsts.values()]
    ids = query_ids("llmrouterbench", ["\0".join((*key, first["text"])) for key, first in firsts.items()])
    queries = Queries(
        query_id=ids,
        text=tuple(texts),
        split=hash_split(texts),
        task=tuple(first["dataset"] for first in firsts.values()),
        gold=tuple(first["gold"] for first in firsts.values()),
    )
    where = dict(zip(firsts, ids.tolist(), strict=True))
    rows = []
    for record in records:
        same = firsts[_key(record)]["text"]
        if record["text"] != same:
            raise DataError(
                f"{path}: record {record['index']} of {record['dataset']!r} is another question for "
                f"{record['model']!r} than for {firsts[_key(record)]['model']!r}; convert them apart."
            )
        rows.append({**record, "query_id": where[_key(record)], "agent": record["model"], "propensity": 1.0})
    pool = Pool(Agent(name=name) for name in sorted({record["model"] for record in records}))
    return Outcomes.from_rows(queries, pool, rows, source=path.name)


def _key(record: Mapping[str, Any]) -> tuple[str, str, str]:
    return record["dataset"], record["split"], record["index"]


def _records(file: Path) -> Iterator[dict[str, Any]]:
    data = read_json_lines(file) if file.suffix == ".jsonl" else read_json(file)
    shared: Mapping[str, Any] = {}
    if isinstance(data, Mapping):
        if data.get("demo"):
            return
        if not isinstance(data.get("records"), list):
            raise DataError(f"{file} has no list 'records'; it has {sorted(data)}.")
        shared, data = {k: v for k, v in data.items() if k != "records"}, data["records"]
    elif file.suffix == ".json" and not isinstance(data, list):
        raise DataError(f"{file} must hold an object with 'records', or a list of records.")
    for row, item in enumerate(data):
        if not isinstance(item, Mapping):
            raise DataError(f"{file}: record {row} is not an object.")
        yield _record(f"{file}: record {row}", {**shared, **item})


def _record(where: str, item: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        field: next((item[name] for name in names if item.get(name) is not None), None)
        for field, names in _NAMES.items()
    }
    for field in ("dataset", "model", "index"):
        if found[field] is None:
            raise DataError(f"{where} lacks {' or '.join(_NAMES[field])}.")
    text = _text(found["query"]) or _text(found["prompt"])
    if text is None:
        raise DataError(f"{where} has neither origin_query nor prompt.")
    numbers = {
        name: to_number(found[name], f"{where}: {name}")
        for name in ("score", "prompt_tokens", "completion_tokens", "cost")
    }
    return {
        "dataset": str(found["dataset"]),
        "split": str(found["split"] or ""),
        "model": str(found["model"]),
        "index": str(found["index"]),
        "text": text,
        "gold": _text(found["gold"]),
        "score": numbers["score"],
        "prompt_tokens": numbers["prompt_tokens"],
        "completion_tokens": numbers["completion_tokens"],
        "cost_usd": numbers["cost"] or None,
        "response": _text(found["raw_output"]) or _text(found["prediction"]),
    }


def _text(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0]
    return json.dumps(value, ensure_ascii=False)
