"""One score from several judgements of a run, late and repeated as they may come."""

from __future__ import annotations

from collections.abc import Iterable

from agentnet.traces.models import RUN_ITSELF

Judgement = tuple[int, str | None, float, float, float]
"""Step (or the run itself), judge (None: there is no judgement), when, score, weight."""
_NAN = float("nan")


def merge_judgements(judgements: Iterable[Judgement], *, alone: bool) -> tuple[float, float]:
    """Returns the weighted mean of the judges' latest judgements, and their mean weight.

    NaN is the score where nobody judged, or only with weight 0.

    Args:
        judgements: Of one run and its steps, in any order.
        alone: Whether a single step ran: judgements of it are judgements of the run.

    >>> merge_judgements([(-1, "human", 1.0, 0.0, 1.0), (-1, "human", 2.0, 1.0, 1.0),
    ...                   (-1, "judge:x", 1.0, 0.0, 0.5)], alone=True)
    (0.6666666666666666, 0.75)
    """
    latest: dict[tuple[str, int], tuple[float, float, float]] = {}
    for step, judge, when, score, weight in judgements:
        if judge is None or (step != RUN_ITSELF and not alone):
            continue
        key = (judge, step)
        if key not in latest or latest[key][0] <= when:
            latest[key] = (when, score, weight)
    total = sum(weight for _, _, weight in latest.values())
    if total <= 0:
        return _NAN, 1.0
    score = sum(score * weight for _, score, weight in latest.values()) / total
    return min(max(score, 0.0), 1.0), total / len(latest)
