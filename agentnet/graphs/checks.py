"""Checks of values that make up a task graph; each raises GraphError and says what is needed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, TypeVar

from agentnet.errors import GraphError

T = TypeVar("T")


def finite(value: Any, what: str, *, low: float = 0.0, high: float = math.inf) -> float:
    """Returns a number from ``low`` to ``high`` as float; numpy's numbers are fine, booleans are not.

    >>> finite(1, "a weight")
    1.0
    """
    # float and int first: asking for Real, which takes numpy's float32 too, is slower.
    number = isinstance(value, (float, int, Real))
    if isinstance(value, bool) or not number or not low <= float(value) <= high:
        raise GraphError(f"{what} must be a number from {low:g} to {high:g}; got {value!r}.")
    if math.isinf(value):
        raise GraphError(f"{what} must be finite.")
    return float(value)


def count(value: Any, what: str, *, most: int | None = None) -> int:
    """Returns a whole number from 1, and at most ``most``.

    >>> count(2, "rounds")
    2
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 1:
        raise GraphError(f"{what} must be a whole number from 1; got {value!r}.")
    if most is not None and int(value) > most:
        raise GraphError(f"{what} must be at most {most}; got {value!r}.")
    return int(value)


def is_name(value: object) -> bool:
    """Whether a value can name a node or an agent: non-empty text.

    >>> is_name("a"), is_name(""), is_name(7)
    (True, False, False)
    """
    return isinstance(value, str) and bool(value)


def typed(values: Any, type_: type[T], what: str) -> tuple[T, ...]:
    """Returns values as a tuple if all are of one type; text is no sequence of texts.

    >>> typed(["a", "b"], str, "outputs")
    ('a', 'b')
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise GraphError(f"{what} must be a list of {type_.__name__} values; got {values!r}.")
    items = tuple(values)
    for item in items:
        if not isinstance(item, type_):
            raise GraphError(f"{what} must be a list of {type_.__name__} values; it holds {item!r}.")
    return items
