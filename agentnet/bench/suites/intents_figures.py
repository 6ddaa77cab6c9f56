"""Figures of suite `intents`: means with 95% bootstrap intervals, over queries or over draws and queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from agentnet.bench.stream.intervals import interval
from agentnet.bench.suites.topology_figures import Figure


def over_rows(values: ArrayLike) -> Figure:
    """Returns the mean of one value a query, with an interval over queries.

    >>> over_rows([0.5, 0.5, 0.5]).told
    '0.500 [0.500, 0.500]'
    """
    rows = np.asarray(values, np.float64)
    return Figure(*interval([rows], worlds=False), int(rows.size))


def over_draws(records: Sequence[Mapping[str, Any]], key: str) -> Figure:
    """Returns the mean of a row's figure over draws, with an interval over draws and queries."""
    values = [np.asarray(record[key], np.float64) for record in records]
    return Figure(*interval(values), sum(len(value) for value in values))
