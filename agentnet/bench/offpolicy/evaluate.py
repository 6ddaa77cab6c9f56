"""`evaluate_policy`: what another policy would have scored, or cost, on the tasks of a log."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.offpolicy import estimators
from agentnet.bench.offpolicy.evidence import Evidence, Judged, Metric, gather, judge
from agentnet.bench.offpolicy.intervals import LEVEL, Estimate
from agentnet.bench.offpolicy.overlap import Limits, Overlap
from agentnet.errors import NotEnoughEvidence
from agentnet.outcomes.choices import ChoiceLog
from agentnet.routers.policy import Policy

Floats = NDArray[np.float64]
RECOMMENDED = "recommended"
_MOST_PLANS = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OffPolicyReport:
    """What a log says about a policy, or why it says nothing.

    Attributes:
        metric: ``"score"`` or ``"cost"`` (USD).
        level: Of the intervals.
        estimates: One an estimator; empty where nothing could be computed.
        overlap: How much of the log bears on the policy.
        refusals: Why the log cannot answer, with advice; empty if it can.
        notes: What a reader should know.
        log: What there is in the log.
        scores: [n] doubly robust score of each decision of the log; NaN where it is not used.
    """

    metric: Metric
    level: float
    estimates: tuple[Estimate, ...]
    overlap: Overlap
    refusals: tuple[str, ...]
    notes: tuple[str, ...]
    log: dict[str, Any]
    scores: Floats = field(repr=False)

    @property
    def answered(self) -> bool:
        """Whether the log can answer."""
        return not self.refusals

    def estimate(self, name: str = RECOMMENDED) -> Estimate:
        """Returns the estimate of one estimator; of NaN where nothing could be computed."""
        for found in self.estimates:
            if found.name == name:
                return found
        return Estimate(name, *(float("nan"),) * 4)

    @property
    def value(self) -> float:
        """The recommended estimate; `answered` says whether it may be used."""
        return self.estimate().value

    @property
    def low(self) -> float:
        """Lower end of the recommended interval."""
        return self.estimate().low

    @property
    def high(self) -> float:
        """Upper end of the recommended interval."""
        return self.estimate().high

    @property
    def se(self) -> float:
        """Standard error behind the recommended interval."""
        return self.estimate().se

    @property
    def ess(self) -> float:
        """Effective sample size."""
        return self.overlap.ess

    def require(self) -> Self:
        """Returns this report.

        Raises:
            NotEnoughEvidence: the log cannot answer.
        """
        if self.refusals:
            raise NotEnoughEvidence("this log cannot answer: " + " ".join(self.refusals))
        return self

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values; the decisions' scores are left out."""
        return {
            "metric": self.metric,
            "level": self.level,
            "answered": self.answered,
            "refusals": list(self.refusals),
            "recommended": self.estimate().to_dict(),
            "estimates": [item.to_dict() for item in self.estimates],
            "overlap": self.overlap.to_dict(),
            "notes": list(self.notes),
            "log": self.log,
        }

    def lines(self) -> list[str]:
        """Returns the report for people, a line each."""
        over = self.overlap
        lines = [
            f"{over.rows:,} usable of {self.log['decisions']:,} decisions; effective sample size "
            f"{over.ess:,.0f}, largest weight {over.max_weight:.1f}"
        ]
        unit = " USD" if self.metric == "cost" else ""
        if self.answered:
            lines.append(f"{self.metric} {self.estimate().line(unit)}  <- use this one")
        else:
            lines += [f"no answer: {reason}" for reason in self.refusals]
        lines += [f"  {item.line(unit)}" for item in self.estimates if item.name != RECOMMENDED]
        lines += [
            f"  {row['plan']}: {row['target_share']:.1%} of the policy, {row['log_share']:.1%} of the log, "
            f"{row['usable']:,} decisions"
            for row in over.plans[:_MOST_PLANS]
            if row["target_share"] > 0
        ]
        return lines + [f"  note: {note}" for note in self.notes]


def evaluate_policy(
    log: ChoiceLog,
    target: Policy | Floats,
    *,
    metric: Metric = "score",
    reward_model: Floats | None = None,
    vectors: NDArray[np.floating[Any]] | None = None,
    groups: NDArray[np.generic] | None = None,
    limits: Limits | None = None,
    level: float = LEVEL,
    seed: int = 0,
) -> OffPolicyReport:
    """Estimates what a policy would have scored, or cost, on the tasks of another policy's log.

    The answer is about tasks like those of the log, each decision an independent draw of them. The judged
    policy must not have learned from this log.

    Args:
        log: Decisions with the probabilities they were made with.
        target: The policy on the log's m queries, such as
            ``policy_of(router, log.queries.tasks(), log.pool)``; or [m, K] probabilities of ``log.plans``.
        metric: ``"score"``, or ``"cost"`` in USD.
        reward_model: [m, K] what each plan of the log is expected to bring on each query, by a model that
            was fitted on other queries; it is recalibrated on the log. None fits one on the log.
        vectors: [m, d] encodings of the queries, which a model fitted on the log looks at (such as
            `encode_queries` makes them); None knows only which plan it was. Without effect where
            ``reward_model`` is given.
        groups: [n] labels of decisions that depend on each other, such as sessions; None takes every
            decision alone.
        limits: From which evidence on the log may answer; None takes the usual.
        level: Of the intervals.
        seed: Deals the queries into folds.

    Returns:
        The report; refused, not raised, where the log cannot answer.

    Raises:
        DataError: an array does not fit the log.

    >>> from agentnet import Agent, Pool, TaskGraph
    >>> from agentnet.outcomes.table import Queries
    >>> ids = np.arange(200)
    >>> queries = Queries(query_id=ids.astype(str), text=("hi",) * 200, split=np.array(["train"] * 200))
    >>> log = ChoiceLog.of(
    ...     queries, Pool([Agent(name="a"), Agent(name="b")]), query=ids, plan=[0, 1] * 100,
    ...     plans=[TaskGraph.of(["a"]), TaskGraph.of(["b"])], propensity=[0.5] * 200, score=[0.2, 0.9] * 100)
    >>> report = evaluate_policy(log, np.array([[0.0, 1.0]] * 200))
    >>> report.answered, round(report.value, 2), round(report.ess)
    (True, 0.9, 100)
    """
    limits = limits or Limits()
    evidence = gather(
        log,
        metric=metric,
        reward_model=reward_model,
        vectors=vectors,
        groups=groups,
        limits=limits,
        seed=seed,
    )
    return report_of(evidence, judge(evidence, target, limits), level)


def report_of(evidence: Evidence, judged: Judged, level: float) -> OffPolicyReport:
    """Runs every estimator on one policy's weights."""
    scores = np.full(len(evidence.log), np.nan)
    estimates: tuple[Estimate, ...] = ()
    if len(evidence.value) > 1:
        value, weight, groups = evidence.value, judged.weight, evidence.groups
        predicted = evidence.model[evidence.query, evidence.plan]
        arrays = (value, weight, predicted, judged.expected)
        scores[evidence.use] = estimators.robust_scores(*arrays)
        model = [estimators.direct(judged.expected, groups=groups, level=level)]
        if judged.expected_given is not None:
            # What was given is the direct method; recalibrated on the log it is no longer the same.
            model = [
                estimators.direct(judged.expected_given, groups=groups, level=level),
                replace(model[0], name="dm, recalibrated"),
            ]
        found = [
            estimators.ips(value, weight, groups=groups, level=level),
            estimators.snips(value, weight, groups=groups, level=level),
            *model,
            estimators.doubly_robust(*arrays, groups=groups, level=level),
            estimators.switch(*arrays, groups=groups, level=level),
            within(estimators.recommended(*arrays, groups=groups, level=level), evidence.metric),
        ]
        estimates = tuple(found)
    return OffPolicyReport(
        metric=evidence.metric,
        level=level,
        estimates=estimates,
        overlap=judged.overlap,
        refusals=judged.refusals,
        notes=judged.notes,
        log=evidence.log.describe(),
        scores=scores,
    )


def within(found: Estimate, metric: Metric) -> Estimate:
    """Holds an estimate where such values can lie: scores in [0, 1], costs at 0 and above."""
    top = 1.0 if metric == "score" else np.inf
    value, low, high = (float(np.clip(x, 0.0, top)) for x in (found.value, found.low, found.high))
    return replace(found, value=value, low=low, high=high)
