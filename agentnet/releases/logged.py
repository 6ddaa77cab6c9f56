"""What a log of somebody else's choices says of a candidate: gain, cost, calibration and slices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.offpolicy import compare_policies, reduce_vectors
from agentnet.bench.offpolicy.estimators import effective_sample_size
from agentnet.outcomes.choices import ChoiceLog
from agentnet.releases.evidence import Judged, weighted_calibration_error
from agentnet.releases.gates import Facts, Gain, Gates

Floats = NDArray[np.float64]
SLICES = 6
"""Slices that unlabelled tasks are divided into, by their encodings."""
_MOST_SLICES = 20
_SURE = 4.0
"""Standard errors by which equal choices must exceed chance."""


def logged_facts(judged: Judged, gates: Gates, *, vectors: NDArray[np.float32] | None = None) -> Facts:
    """Returns what held-out logged decisions say of a candidate beside what serves.

    Args:
        judged: The log, and what both would do on its queries.
        gates: Level of the intervals.
        vectors: [m, d] encodings of the queries, for the reward model and the slices.
    """
    log = judged.log
    share = judged.new.share
    serving_share = judged.old.share if judged.old is not None else {}
    groups = log.query if tied(log) else None
    features = None if vectors is None else reduce_vectors(vectors)
    compared = compare_policies(
        log, judged.new, judged.old, vectors=features, level=gates.level, groups=groups
    )
    if not compared.answered:
        return Facts(gain=None, refused=compared.refusals, share=share, serving_share=serving_share)
    # The middle is the doubly robust estimate, unbiased; the recommended value leans on a model.
    middle = (compared.low + compared.high) / 2
    gain = Gain(
        gain=middle,
        low=compared.low,
        high=compared.high,
        error=compared.se,
        effective=compared.ess,
        source="off-policy",
    )
    slices = {}
    for name, rows in slices_of(log, vectors).items():
        found = compared.of(rows)
        weights = np.abs(compared.weights[rows & ~np.isnan(compared.weights)])
        effective = effective_sample_size(weights)
        slices[name] = Gain(
            gain=found.value, low=found.low, high=found.high, error=found.se, effective=effective,
            source="off-policy",
        )  # fmt: skip
    return Facts(
        gain=gain,
        cost_rise=_cost_rise(judged, gates, features, groups),
        share=share,
        serving_share=serving_share,
        calibration_error=_calibration_error(judged),
        slices=slices,
    )


def tied(log: ChoiceLog) -> bool:
    """Whether a question that comes again is given the same plan more often than its probability says.

    Routers that draw by a hash of the task do so: then asking again adds nothing, and the decisions on a
    question are one piece of evidence. Each decision on a question is compared with the next one on it.
    """
    order = np.lexsort((log.at, log.query))
    again = log.query[order][1:] == log.query[order][:-1]
    chance = log.propensity[order][:-1][again]
    same = (log.plan[order][1:] == log.plan[order][:-1])[again]
    known = (chance > 0) & (chance < 1)
    expected, spread = chance[known].sum(), (chance * (1 - chance))[known].sum()
    return bool(spread > 0 and same[known].sum() - expected > _SURE * np.sqrt(spread))


def slices_of(log: ChoiceLog, vectors: NDArray[np.float32] | None) -> dict[str, NDArray[np.bool_]]:
    """Returns masks over a log's decisions by slice: its task labels, else clusters of the encodings."""
    labels = log.queries.task
    names = sorted(set(labels))
    if len(names) > 1:
        most = sorted(names, key=lambda name: -labels.count(name))[:_MOST_SLICES]
        each = np.array(labels)[log.query]
        return {name or "(no label)": each == name for name in most}
    if vectors is None or len(log.queries) < 10 * SLICES:
        return {}
    from agentnet.routers.clustering import cluster_of

    which = cluster_of(vectors, SLICES, seed=0)[log.query]
    return {f"cluster {k}": which == k for k in range(SLICES)}


def _cost_rise(
    judged: Judged,
    gates: Gates,
    features: Floats | None,
    groups: NDArray[np.intp] | None,
) -> tuple[float, float, float] | None:
    """Relative difference of USD a task with its interval; None where the log cannot tell."""
    log = judged.log
    if np.isnan(log.cost[log.judged]).any():
        return None
    found = compare_policies(
        log, judged.new, judged.old, metric="cost", vectors=features, level=gates.level, groups=groups
    )
    if not found.answered or not found.old.value > 0:
        return None
    base = found.old.value
    return found.value / base, found.low / base, found.high / base


def _calibration_error(judged: Judged) -> float | None:
    """Of what the candidate predicts of its own choices, on the decisions it would have taken too."""
    log = judged.log
    target = judged.new.of_plans(log.plans)[log.query, log.plan]
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = np.nan_to_num(np.where(target > 0, target / log.propensity, 0.0))
    return weighted_calibration_error(judged.new.expected[log.query], log.score, weight)
