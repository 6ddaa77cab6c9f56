"""HotpotQA: questions with passages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentnet.errors import DataError
from agentnet.outcomes.converters.common import query_ids, read_json, read_json_lines
from agentnet.outcomes.splits import hash_split
from agentnet.outcomes.table import Queries


def from_hotpotqa(path: str | Path) -> Queries:
    """Reads HotpotQA (Yang et al. 2018): questions with passages, no agents.

    Each item has ``question``, ``answer`` and ``context``, which is ``[[title, [sentence, ...]], ...]`` as
    published or ``{"title": [...], "sentences": [[...], ...]}`` as on the hub. The context becomes a JSON
    list of ``{"title", "text"}``. The metric is token F1; splits are made by hash, 70 / 10 / 20.

    Args:
        path: A ``.json`` file with a list, or a ``.jsonl`` file.

    Raises:
        DataError: the file is not of this form.
    """
    file = Path(path)
    items = list(read_json_lines(file)) if file.suffix == ".jsonl" else read_json(file)
    if not isinstance(items, list) or not items:
        raise DataError(f"{file} must hold a non-empty list of questions.")
    rows: dict[str, tuple[str, str | None, str]] = {}
    for row, item in enumerate(items):
        question = item.get("question") if isinstance(item, Mapping) else None
        if not isinstance(question, str) or not question.strip():
            raise DataError(f"{file}: item {row} has no question.")
        key = str(item.get("_id") or item.get("id") or question)
        if key in rows:
            raise DataError(f"{file}: item {row} repeats the id {key!r}.")
        answer = item.get("answer")
        passages = json.dumps(_passages(f"{file}: item {row}", item.get("context")), ensure_ascii=False)
        rows[key] = (question, None if answer is None else str(answer), passages)
    texts, golds, contexts = zip(*rows.values(), strict=True)
    return Queries(
        query_id=query_ids("hotpotqa", list(rows)),
        text=texts,
        split=hash_split(texts),
        context=contexts,
        task=("hotpotqa",) * len(texts),
        gold=golds,
        metric=("f1",) * len(texts),
    )


def _passages(where: str, context: Any) -> list[dict[str, str]]:
    try:
        if isinstance(context, Mapping):
            pairs = list(zip(context["title"], context["sentences"], strict=True))
        else:
            pairs = [(title, sentences) for title, sentences in context]
        # Published sentences carry their own leading spaces.
        return [{"title": str(title), "text": "".join(sentences).strip()} for title, sentences in pairs]
    except (TypeError, ValueError, KeyError):
        raise DataError(f"{where} has a context that is not [[title, [sentence, ...]], ...].") from None
