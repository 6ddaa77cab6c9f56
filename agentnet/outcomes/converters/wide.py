"""RouterBench and RouteLLM: one row a query, one column a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DataError
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.converters.common import plain_text, query_ids, read_table, to_number
from agentnet.outcomes.splits import hash_split
from agentnet.outcomes.table import Outcomes, Queries

_COST, _RESPONSE = "|total_cost", "|model_response"


def from_routerbench(path: str | Path) -> Outcomes:
    """Reads RouterBench (Hu et al. 2024) from its wide table.

    Columns: ``sample_id``, ``prompt``, ``eval_name``, and for every model ``MODEL`` (score),
    ``MODEL|total_cost`` (USD) and ``MODEL|model_response``. Prompts and responses may be the ``repr`` of a
    list of turns. Splits are made by hash, 70 / 10 / 20.

    Args:
        path: A ``.parquet`` or ``.csv`` file. The published pickle is refused; the error says how to convert.

    Raises:
        DataError: the file is not of this form.
    """
    file = Path(path)
    columns = read_table(file, text=("sample_id", "prompt", "eval_name"))
    _need(file, columns, ("prompt", "eval_name"))
    models = [name for name in columns if f"{name}{_COST}" in columns or f"{name}{_RESPONSE}" in columns]
    if not models:
        raise DataError(f"{file} has no model columns: none of its columns has a partner 'MODEL{_COST}'.")
    texts = _texts(file, columns["prompt"])
    ids = columns.get("sample_id") or [""] * len(texts)
    keys = _distinct([f"{one}\0{text}" for one, text in zip(ids, texts, strict=True)])
    queries = Queries(
        query_id=query_ids("routerbench", keys),
        text=tuple(texts),
        split=hash_split(texts),
        task=tuple(str(name) for name in columns["eval_name"]),
    )
    return _outcomes(
        file,
        queries,
        models,
        columns,
        cost={name: f"{name}{_COST}" for name in models},
        response={name: f"{name}{_RESPONSE}" for name in models},
    )


def from_routellm(path: str | Path) -> Outcomes:
    """Reads the evaluation files of RouteLLM (Ong et al. 2024).

    Columns: ``prompt``, two or more models with True or False, and possibly ``MODEL_response``. All rows are
    official test rows, so their split is ``test``. Costs are not recorded: unknown.

    Args:
        path: A CSV file, or a folder of them; the task is the file's name without ``mmlu_`` and
            ``_responses``.

    Raises:
        DataError: a file is not of this form.
    """
    path = Path(path)
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path} holds no .csv file.")
    merged: dict[str, list[Any]] = {"prompt": [], "task": []}
    for file in files:
        columns = read_table(file, text=("prompt",))
        _need(file, columns, ("prompt",))
        before, n = len(merged["prompt"]), len(columns["prompt"])
        for name in columns.keys() | merged.keys():
            merged.setdefault(name, [None] * before)
            merged[name] += columns.get(name, [None] * n)
        merged["task"][before:] = [file.stem.removeprefix("mmlu_").removesuffix("_responses")] * n
    models = [
        name for name in merged if name not in ("prompt", "task", "") and not name.endswith("_response")
    ]
    if not models:
        raise DataError(f"{path} has no column of a model beside 'prompt'.")
    texts = _texts(path, merged["prompt"])
    keys = _distinct([f"{task}\0{text}" for task, text in zip(merged["task"], texts, strict=True)])
    queries = Queries(
        query_id=query_ids("routellm", keys),
        text=tuple(texts),
        split=np.full(len(texts), "test"),
        task=tuple(merged["task"]),
        metric=("exact_match",) * len(texts),
    )
    return _outcomes(
        path, queries, sorted(models), merged, cost={}, response={m: f"{m}_response" for m in models}
    )


def _outcomes(
    file: Path,
    queries: Queries,
    models: Sequence[str],
    columns: Mapping[str, list[Any]],
    *,
    cost: Mapping[str, str],
    response: Mapping[str, str],
) -> Outcomes:
    def matrix(names: Mapping[str, str]) -> NDArray[np.float64]:
        result = np.full((len(queries), len(models)), np.nan)
        for j, model in enumerate(models):
            if name := names.get(model):
                values = columns.get(name, [None] * len(queries))
                result[:, j] = [to_number(value, f"{file}: column {name!r}") for value in values]
        return result

    texts = np.full((len(queries), len(models)), None, object)
    for j, model in enumerate(models):
        texts[:, j] = [plain_text(value) for value in columns.get(response[model], [None] * len(queries))]
    score = matrix({name: name for name in models})
    return Outcomes(
        queries=queries,
        pool=Pool(Agent(name=name) for name in models),
        score=score.astype(np.float32),
        cost=matrix(cost),
        propensity=np.where(np.isnan(score), np.nan, 1).astype(np.float32),
        response=texts if any(name in columns for name in response.values()) else None,
        source=file.name,
    )


def _need(file: Path, columns: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in names:
        if name not in columns:
            raise DataError(f"{file} lacks the column {name!r}; it has {sorted(columns)}.")


def _texts(file: Path, values: Sequence[Any]) -> list[str]:
    texts = [plain_text(value) or "" for value in values]
    for row, text in enumerate(texts):
        if not text.strip():
            raise DataError(f"{file}: the prompt of row {row} is empty.")
    return texts


def _distinct(keys: Sequence[str]) -> list[str]:
    """Numbers keys that stand several times, so that every row gets its own id."""
    seen: dict[str, int] = {}
    result = []
    for key in keys:
        seen[key] = seen.get(key, 0) + 1
        result.append(key if seen[key] == 1 else f"{key}\0{seen[key]}")
    return result
