"""Writes result files: strict JSON, whole or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def write_json(path: Path, data: Any) -> None:
    """Writes JSON and replaces the file in one step; makes the folder.

    NaN and infinities become null: a strict reader would refuse the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    text = json.dumps(strict(data), indent=1, ensure_ascii=False, allow_nan=False)
    part.write_text(text + "\n", encoding="utf-8", errors="surrogateescape")
    part.replace(path)


def strict(value: Any) -> Any:
    """Returns JSON values without NaN and without numpy's types.

    >>> strict({"a": float("nan"), "b": (np.float64(1.5), np.int64(2))})
    {'a': None, 'b': [1.5, 2]}
    """
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
