"""Values of any kind as JSON values: what a run saw and decided, as its trace holds it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from decimal import Decimal
from typing import Any


def plain(value: object) -> Any:
    """Returns a value as JSON values, all the way down; what has no such form becomes its text.

    NaN and infinities become None: JSON has none.

    >>> plain({"a": (1, float("nan")), "b": Decimal("0.1"), 3: {"y", "x"}})
    {'a': [1, None], 'b': '0.1', '3': ['x', 'y']}
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None  # numpy's float64 is a float too
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    try:
        closer = plainer(value)
    except TypeError:
        return str(value)
    return plain(closer)


def plainer(value: object) -> Any:
    """Returns a value that JSON has no form for as one of a kind that it has; its items stay as they are.

    As ``default`` of a `json` encoder, which asks again for what is inside.

    Raises:
        TypeError: it is of no known kind.

    >>> plainer(Decimal("0.1")), plainer({2, 1})
    ('0.1', [1, 2])
    """
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Set):
        try:
            return sorted(value)
        except TypeError:  # items that cannot be compared
            return sorted(value, key=repr)
    if hasattr(value, "tolist"):  # arrays and scalars of numpy and torch, without importing either
        return value.tolist()
    raise TypeError(f"only plain values can be written as JSON; got {type(value).__name__}")
