"""What all policies that are judged on a log share: its usable decisions and the reward model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.offpolicy.intervals import group_numbers
from agentnet.bench.offpolicy.model import cross_fit_rewards, deal_folds, recalibrate, reduce_vectors
from agentnet.bench.offpolicy.overlap import Limits, Overlap, measure, refusals_of_log, refusals_of_policy
from agentnet.errors import DataError, InvalidInput
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.choices import ChoiceLog
from agentnet.routers.policy import Policy

Floats = NDArray[np.float64]
Metric = Literal["score", "cost"]
_UNEVEN = 0.2
_ENOUGH = 30


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """The usable decisions of a log, u of n, and a model of what plans bring.

    Attributes:
        log: All of it.
        metric: What is asked for.
        use: [n] decisions that are judged and have a known probability.
        query: [u] their queries.
        plan: [u] their plans.
        value: [u] score or cost.
        propensity: [u] of the plan that was chosen.
        groups: [u] numbers of the groups; None takes every decision alone.
        model: [m, K] cross-fitted expectation of every plan on every query.
        given: [m, K] the model as it was given; None where none was.
        refusals: Why this log can answer about no policy.
        notes: What a reader should know of the log.
    """

    log: ChoiceLog
    metric: Metric
    use: NDArray[np.bool_]
    query: NDArray[np.intp]
    plan: NDArray[np.intp]
    value: Floats
    propensity: Floats
    groups: NDArray[np.intp] | None
    model: Floats
    given: Floats | None
    refusals: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """One policy on the usable decisions.

    Attributes:
        weight: [u] importance weights.
        expected: [u] what the model expects of the policy.
        expected_given: [u] what the model as given expects; None where none was.
        overlap: Of the log with the policy.
        refusals: Why the log cannot answer about it.
        notes: What a reader should know.
    """

    weight: Floats
    expected: Floats
    expected_given: Floats | None
    overlap: Overlap
    refusals: tuple[str, ...]
    notes: tuple[str, ...]


def gather(
    log: ChoiceLog,
    *,
    metric: Metric,
    reward_model: Floats | None,
    vectors: NDArray[np.floating] | None,
    groups: NDArray[np.generic] | None,
    limits: Limits,
    seed: int,
) -> Evidence:
    """Picks the usable decisions and fits the reward model; arguments as in `evaluate_policy`.

    Raises:
        DataError: an array does not fit the log.
        InvalidInput: there is no such metric.
    """
    if metric not in ("score", "cost"):
        raise InvalidInput(f"metric is 'score' or 'cost'; got {metric!r}.")
    values = log.score if metric == "score" else log.cost
    judged, known = ~np.isnan(values), ~np.isnan(log.propensity)
    use = judged & known
    query, plan, value = log.query[use], log.plan[use], values[use]
    numbers = group_numbers(groups, len(log))
    fold = deal_folds(len(log.queries), seed)
    shape = (len(log.queries), len(log.plans))
    given = None
    if reward_model is not None:
        given = np.asarray(reward_model, np.float64)
        if given.shape != shape:
            raise DataError(
                f"reward_model has shape {given.shape}; queries and plans of the log are {shape}."
            )
        model = recalibrate(given, query, plan, value, fold=fold)
    else:
        features = np.zeros((shape[0], 0)) if vectors is None else reduce_vectors(vectors)
        if len(features) != shape[0]:
            raise DataError(f"vectors has {len(features)} rows; the log has {shape[0]} queries.")
        model = cross_fit_rewards(
            features, query, plan, value, shape[1], trust=_trust(log, use, metric), fold=fold
        )
    return Evidence(
        log=log,
        metric=metric,
        use=use,
        query=query,
        plan=plan,
        value=value,
        propensity=log.propensity[use],
        groups=None if numbers is None else np.unique(numbers[use], return_inverse=True)[1],
        model=model,
        given=given,
        refusals=refusals_of_log(len(log), int((~known).sum()), int(judged.sum()), metric, limits),
        notes=_notes(log, judged, known, metric),
    )


def _trust(log: ChoiceLog, use: NDArray[np.bool_], metric: Metric) -> Floats | None:
    """How much each decision counts in the model; None where all count alike."""
    trust = log.weight[use]
    return None if metric == "cost" or not len(trust) or (trust == 1).all() else trust


def _notes(
    log: ChoiceLog, judged: NDArray[np.bool_], known: NDArray[np.bool_], metric: Metric
) -> tuple[str, ...]:
    found = []
    what = "judged" if metric == "score" else "with a known cost"
    left = int((~known).sum())
    if left:
        found.append(f"{left:,} decisions without a propensity are left out")
    if not judged.all():
        found.append(
            f"{int(judged.sum()):,} of {len(log):,} decisions are {what}; they count as a random part"
        )
    size = np.bincount(log.plan, minlength=len(log.plans))
    share = np.bincount(log.plan[judged], minlength=len(log.plans)) / np.maximum(size, 1)
    often = share[size >= _ENOUGH]
    if len(often) > 1 and np.ptp(often) > _UNEVEN:
        found.append(
            f"plans are {what} unevenly ({often.min():.0%} to {often.max():.0%} of their decisions): if that "
            "depends on how good answers were, every figure here is off"
        )
    return tuple(found)


def judge(evidence: Evidence, target: Policy | Floats | None, limits: Limits) -> Judged:
    """Weighs the usable decisions for a policy; None is whatever wrote the log.

    Raises:
        DataError: the probabilities do not fit the log.
    """
    log = evidence.log
    if target is None:
        return _of_log(evidence, limits)
    chance, outside, notes = _chances(log, target)
    query, plan = evidence.query, evidence.plan
    weight = chance[query, plan] / evidence.propensity
    asked = np.bincount(log.query, minlength=len(log.queries)) / max(len(log), 1)
    overlap = measure(
        weight, asked @ chance, float(asked @ outside), log.plan, evidence.use, _names(log.plans)
    )
    refusals = () if evidence.refusals else refusals_of_policy(overlap, limits)
    # What is beyond the log is taken to be as good as the log's mean: `Limits.max_never` bounds how much.
    fill = float(evidence.value.mean()) if len(evidence.value) else float("nan")

    def expect(model: Floats) -> Floats:
        known = np.where(chance > 0, chance * np.where(np.isnan(model), fill, model), 0.0)
        each: Floats = (known.sum(1) + outside * fill)[query]
        return each

    return Judged(
        weight=weight,
        expected=expect(evidence.model),
        expected_given=None if evidence.given is None else expect(evidence.given),
        overlap=overlap,
        refusals=evidence.refusals + refusals,
        notes=evidence.notes + notes,
    )


def _of_log(evidence: Evidence, limits: Limits) -> Judged:
    """The logging policy itself: weights are 1, its doubly robust scores are what came of it."""
    log, u = evidence.log, len(evidence.value)
    share = np.bincount(log.plan, minlength=len(log.plans)) / max(len(log), 1)
    at = (evidence.query, evidence.plan)
    overlap = measure(np.ones(u), share, 0.0, log.plan, evidence.use, _names(log.plans))
    return Judged(
        weight=np.ones(u),
        expected=evidence.model[at],
        expected_given=None if evidence.given is None else evidence.given[at],
        overlap=overlap,
        refusals=evidence.refusals or (() if u else refusals_of_policy(overlap, limits)),
        notes=evidence.notes,
    )


def _chances(log: ChoiceLog, target: Policy | Floats) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Returns [m, K] probabilities of the log's plans, [m] of what is none of them, and notes."""
    shape = (len(log.queries), len(log.plans))
    notes: tuple[str, ...] = ()
    if isinstance(target, Policy):
        chance = target.of_plans(log.plans)
        if None in target.plans:
            away = float(target.chance[:, target.plans.index(None)].mean())
            if away > 0:
                notes = (f"the policy abstains on {away:.1%} of the queries: no log says what that is worth",)
    else:
        chance = np.asarray(target, np.float64)
    if chance.shape != shape:
        raise DataError(
            f"the policy has shape {chance.shape}; queries and plans of the log are {shape}: make it with "
            "policy_of(router, log.queries.tasks(), log.pool)."
        )
    total = chance.sum(1)
    if not ((chance >= 0).all() and (total <= 1 + 1e-6).all()):
        raise DataError("probabilities of a policy lie in [0, 1] and add up to at most 1 for each query.")
    return chance, np.maximum(1 - total, 0.0), notes


def _names(plans: tuple[TaskGraph, ...]) -> list[str]:
    """Plans for people: their agents."""
    return [" + ".join(plan.agents) or plan.fingerprint for plan in plans]
