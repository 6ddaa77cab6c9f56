"""Metrics of label packs, where the right answer is the name of an agent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agentnet.bench.scoring import ScoredQuery
from agentnet.outcomes.table import Outcomes


def label_metrics(scored: Sequence[ScoredQuery], rows: Outcomes) -> dict[str, float | None]:
    """Returns what of the right agents was found; a figure without rows to count is None.

    * ``hit``: share of the rows in scope whose right agent is in the chosen set.
    * ``exact_set``: share of the rows in scope for which the set is the right agent alone.
    * ``set_size``: mean size of the sets that are not empty, over all rows.
    * ``oos_recall``: share of the rows out of scope on which the router abstained.
    * ``false_alarms``: share of the rows in scope on which it abstained.

    The chosen set of an abstention is empty, or the fallback agent where there is one.

    Args:
        scored: One per row.
        rows: The evaluated rows of the label pack, with the evaluated pool as columns.
    """
    outside = rows.out_of_scope
    inside = np.flatnonzero(~outside)
    gold = rows.queries.gold
    chosen = [set(row.chosen) for row in scored]
    abstained = np.array([row.abstained for row in scored])
    sizes = [len(names) for names in chosen if names]
    return {
        "hit": _mean([gold[i] in chosen[i] for i in inside]),
        "exact_set": _mean([chosen[i] == {gold[i]} for i in inside]),
        "set_size": _mean(sizes),
        "oos_recall": _mean(abstained[outside].tolist()),
        "false_alarms": _mean(abstained[~outside].tolist()),
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None
