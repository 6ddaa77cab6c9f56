"""CLINC-style intents: utterances with the label of the agent that should get them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from agentnet.errors import DataError
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.converters.common import query_ids, read_json
from agentnet.outcomes.splits import normalise_text
from agentnet.outcomes.table import OUT_OF_SCOPE, Outcomes, Queries

_SPLITS = ("test", "val", "train")


def from_clinc(path: str | Path) -> Outcomes:
    """Reads intents in the form of CLINC150 (Larson et al. 2019): one agent per label.

    The file holds ``{"train": [[text, label], ...], "val": ..., "test": ..., "oos_train": ..., ...}``; what
    stands under ``oos_*``, or has the label ``oos``, is for no agent. Of utterances that are equal once
    normalised one is kept, on the test side before val before train, so that nothing leaks.

    Raises:
        DataError: the file is not of this form.
    """
    file = Path(path)
    data = read_json(file)
    names = {f"{prefix}{split}": split for split in _SPLITS for prefix in ("", "oos_")}
    if not isinstance(data, dict) or not set(data) & set(names):
        raise DataError(
            f"{file} must hold an object with some of {sorted(names)}, each a list of [text, label]."
        )
    rows: dict[str, tuple[str, str, str]] = {}
    for name, split in names.items():
        for row, item in enumerate(data.get(name, [])):
            if not (isinstance(item, list) and len(item) == 2 and all(isinstance(x, str) for x in item)):
                raise DataError(f"{file}: row {row} of {name!r} must be [text, label]; got {item!r}.")
            text, label = item
            if text.strip():
                rows.setdefault(
                    normalise_text(text), (text, OUT_OF_SCOPE if "oos" in (name[:3], label) else label, split)
                )
    labels = sorted({label for _, label, _ in rows.values()} - {OUT_OF_SCOPE})
    if not labels:
        raise DataError(f"{file} has no label beside {OUT_OF_SCOPE!r}.")
    texts, golds, splits = zip(*rows.values(), strict=True)
    queries = Queries(
        query_id=query_ids(re.sub(r"\W+", "-", file.stem) or "intents", list(rows)),
        text=texts,
        split=np.array(splits),
        gold=golds,
        metric=("label",) * len(texts),
    )
    pool = Pool(Agent(name=label, description=_description(label)) for label in labels)
    return Outcomes.from_labels(queries, pool, source=file.name)


def _description(label: str) -> str:
    words = re.sub(r"[\W_]+", " ", label).strip()
    return f"Handles requests about: {words}." if words else ""
