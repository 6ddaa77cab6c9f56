"""`compare_policies`: the paired difference of two policies on one log, for deciding on a promotion."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.offpolicy import estimators
from agentnet.bench.offpolicy.evaluate import OffPolicyReport, report_of
from agentnet.bench.offpolicy.evidence import Metric, gather, judge
from agentnet.bench.offpolicy.intervals import LEVEL, Estimate, group_numbers, studentised
from agentnet.bench.offpolicy.overlap import EXPLORE, REPLAY, Limits
from agentnet.errors import DataError, NotEnoughEvidence
from agentnet.outcomes.choices import ChoiceLog
from agentnet.routers.policy import Policy

Floats = NDArray[np.float64]
_FEWEST_OF_SLICE = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PolicyComparison:
    """How much better a new policy is than an old one, on one log and with one reward model.

    Attributes:
        metric: ``"score"`` or ``"cost"`` (USD).
        difference: New less old, with the interval of the paired difference.
        ess: Effective sample size of the decisions on which the two differ.
        differences: [n] doubly robust difference of each decision; NaN where it is not used.
        weights: [n] difference of the importance weights; NaN likewise.
        new: The new one alone.
        old: The old one alone.
        refusals: Why the log cannot answer, with advice; empty if it can.
        level: Of the intervals.
        groups: [n] numbers of the groups; None takes every decision alone.
    """

    metric: Metric
    difference: Estimate
    ess: float
    differences: Floats = field(repr=False)
    weights: Floats = field(repr=False)
    new: OffPolicyReport
    old: OffPolicyReport
    refusals: tuple[str, ...]
    level: float
    groups: NDArray[np.intp] | None = field(default=None, repr=False)

    @property
    def answered(self) -> bool:
        """Whether the log can answer."""
        return not self.refusals

    @property
    def value(self) -> float:
        """New less old; `answered` says whether it may be used."""
        return self.difference.value

    @property
    def low(self) -> float:
        """Lower end of the interval: above 0, the new one is better."""
        return self.difference.low

    @property
    def high(self) -> float:
        """Upper end of the interval: below 0, the new one is worse."""
        return self.difference.high

    @property
    def se(self) -> float:
        """Standard error of the difference."""
        return self.difference.se

    @property
    def detectable(self) -> float:
        """The smallest true gain that is found, with 80% power, in a log like this one."""
        return self.difference.detectable

    def of(self, rows: NDArray[np.bool_]) -> Estimate:
        """Returns the difference on some decisions, such as a slice of the tasks; NaN where too few.

        Args:
            rows: [n] mask of the log's decisions, chosen by what was known before the choice was made.

        Raises:
            DataError: the mask does not fit the log.
        """
        if rows.shape != self.differences.shape or rows.dtype != bool:
            raise DataError(
                f"a mask of {len(self.differences)} decisions is needed; got {rows.dtype} of {rows.shape}."
            )
        used = rows & ~np.isnan(self.differences)
        if used.sum() < _FEWEST_OF_SLICE:
            return Estimate("slice", *(float("nan"),) * 4)
        groups = None if self.groups is None else np.unique(self.groups[used], return_inverse=True)[1]
        freedom = estimators.effective_sample_size(np.abs(self.weights[used])) - 1
        return studentised("slice", self.differences[used], freedom=freedom, groups=groups, level=self.level)

    def require(self) -> Self:
        """Returns this comparison.

        Raises:
            NotEnoughEvidence: the log cannot answer.
        """
        if self.refusals:
            raise NotEnoughEvidence("this log cannot tell the two apart: " + " ".join(self.refusals))
        return self

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values; the decisions' differences are left out."""
        return {
            "metric": self.metric,
            "level": self.level,
            "answered": self.answered,
            "refusals": list(self.refusals),
            "difference": self.difference.to_dict(),
            "detectable": self.detectable,
            "ess": self.ess,
            "new": self.new.to_dict(),
            "old": self.old.to_dict(),
        }

    def lines(self) -> list[str]:
        """Returns the comparison for people, a line each."""
        unit = " USD" if self.metric == "cost" else ""
        form = ".3g" if unit else ".4f"
        lines = [
            f"smallest gain this log can detect: {self.detectable:{form}}{unit} (80% power); effective "
            f"sample size where the two differ: {self.ess:,.0f}"
        ]
        if self.answered:
            lines.append(f"{self.metric}, {self.difference.line(unit)}")
        else:
            lines += [f"no answer: {reason}" for reason in self.refusals]
        lines += [f"  new: {self.new.estimate().line(unit)}", f"  old: {self.old.estimate().line(unit)}"]
        return lines


def compare_policies(
    log: ChoiceLog,
    new: Policy | Floats,
    old: Policy | Floats | None = None,
    *,
    metric: Metric = "score",
    reward_model: Floats | None = None,
    vectors: NDArray[np.floating[Any]] | None = None,
    groups: NDArray[np.generic] | None = None,
    limits: Limits | None = None,
    level: float = LEVEL,
    seed: int = 0,
) -> PolicyComparison:
    """Estimates how much better a new policy is than an old one, from one log.

    The difference is taken decision by decision: where the two choose alike it is exactly 0 and adds no
    noise, so that far smaller gains can be told than from the two intervals.

    Args:
        log: As in `evaluate_policy`, as are the other arguments.
        new: The new policy.
        old: The old one; None is whatever wrote the log, at its own probabilities.
        metric: ``"score"`` or ``"cost"``.
        reward_model: [m, K] predictions for the log's plans, fitted on other queries.
        vectors: [m, d] encodings for a model fitted on the log.
        groups: [n] labels of decisions that depend on each other.
        limits: From which evidence on the log may answer.
        level: Of the intervals.
        seed: Deals the queries into folds.

    Raises:
        DataError: an array does not fit the log.
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
    first, second = judge(evidence, new, limits), judge(evidence, old, limits)
    reports = report_of(evidence, first, level), report_of(evidence, second, level)
    weight = first.weight - second.weight
    # One of a million is the noise of probabilities that were stored in single precision.
    weight[np.abs(weight) < 1e-6] = 0.0
    ess = estimators.effective_sample_size(np.abs(weight))
    refusals = tuple(dict.fromkeys(first.refusals + second.refusals))
    if not refusals and weight.any() and ess < limits.min_ess:
        refusals = (
            f"the two differ on decisions worth {ess:.0f} (at least {limits.min_ess:.0f} are needed): "
            f"collect more, {EXPLORE}, or {REPLAY}.",
        )
    difference = Estimate("difference", *(float("nan"),) * 4)
    if len(weight) > 1:
        difference = estimators.recommended(
            evidence.value,
            weight,
            evidence.model[evidence.query, evidence.plan],
            first.expected - second.expected,
            groups=evidence.groups,
            level=level,
            name="difference",
        )
    weights = np.full(len(log), np.nan)
    weights[evidence.use] = weight
    return PolicyComparison(
        metric=metric,
        difference=difference,
        ess=ess,
        differences=reports[0].scores - reports[1].scores,
        weights=weights,
        new=reports[0],
        old=reports[1],
        refusals=refusals,
        level=level,
        groups=group_numbers(groups, len(log)),
    )
