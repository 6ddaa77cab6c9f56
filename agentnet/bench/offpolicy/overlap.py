"""Whether a log can answer at all: overlap of two policies, and the reasons to refuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.offpolicy.estimators import effective_sample_size

Floats = NDArray[np.float64]
RARE = 10
"""A plan with fewer judged decisions than this is rare in the log."""
_ASTRAY = 4.0
"""Standard errors that the mean weight may be off 1."""
EXPLORE = "let the router explore (an epsilon-greedy or softmax router with a floor) and log again"
REPLAY = "judge the policy by a held-out replay or a canary, where both choices are run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """From which evidence on a log may answer.

    Attributes:
        min_ess: Least effective sample size.
        min_judged: Least number of decisions with what is asked for (score or cost).
        max_unjudged: Largest share of decisions without it. Those judged must be a random part.
        max_unknown: Largest share of decisions whose probability was not logged; these are left out.
        max_never: Largest share of its choices that the judged policy may make among plans that the log
            never chose.
    """

    min_ess: float = 25.0
    min_judged: int = 100
    max_unjudged: float = 0.5
    max_unknown: float = 0.05
    max_never: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """How much of a log bears on a policy.

    Attributes:
        rows: Decisions used: judged, with a known probability.
        ess: Their effective sample size.
        mean_weight: 1 in expectation where the log can reach all that the policy does.
        max_weight: The largest; one decision then counts for so many.
        matched: Share of decisions whose plan the policy could have chosen.
        never: Share of the policy's choices on plans without a usable decision.
        rare: Share on plans with fewer than `RARE` of them, ``never`` included.
        plans: A row a plan: share of the policy's and of the log's choices, decisions and those usable.
    """

    rows: int
    ess: float
    mean_weight: float
    max_weight: float
    matched: float
    never: float
    rare: float
    plans: tuple[dict[str, Any], ...] = field(default=(), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return asdict(self)


def measure(
    weight: Floats,
    target: Floats,
    outside: float,
    plan: NDArray[np.intp],
    usable: NDArray[np.bool_],
    names: Sequence[str],
) -> Overlap:
    """Measures the overlap of a log with a policy.

    Args:
        weight: [u] importance weights of the usable decisions.
        target: [K] mean probability of each plan of the log under the policy, over the log's queries.
        outside: Share of the policy's choices that are no plan of the log.
        plan: [n] plans of all decisions.
        usable: [n] decisions that are judged and have a probability.
        names: [K] of the plans.
    """
    size = np.bincount(plan, minlength=len(names))
    used = np.bincount(plan[usable], minlength=len(names))
    rows = [
        {
            "plan": name,
            "target_share": float(target[k]),
            "log_share": float(size[k] / max(len(plan), 1)),
            "decisions": int(size[k]),
            "usable": int(used[k]),
        }
        for k, name in enumerate(names)
    ]
    return Overlap(
        rows=len(weight),
        ess=effective_sample_size(weight),
        mean_weight=float(weight.mean()) if len(weight) else float("nan"),
        max_weight=float(weight.max()) if len(weight) else float("nan"),
        matched=float((weight > 0).mean()) if len(weight) else 0.0,
        never=min(1.0, float(target[used == 0].sum()) + outside),
        rare=min(1.0, float(target[used < RARE].sum()) + outside),
        plans=tuple(sorted(rows, key=lambda row: -row["target_share"])),
    )


def refusals_of_log(n: int, unknown: int, judged: int, metric: str, limits: Limits) -> tuple[str, ...]:
    """Returns why a log can answer about no policy at all, with advice; empty if it can.

    Args:
        n: Decisions.
        unknown: Decisions without a probability.
        judged: Decisions with the metric.
        metric: ``"score"`` or ``"cost"``.
        limits: From which evidence on a log may answer.
    """
    if not n:
        return ("the log is empty: serve some tasks first.",)
    found = []
    if unknown > limits.max_unknown * n:
        found.append(
            f"{unknown:,} of {n:,} decisions have no propensity (the probability with which the plan was "
            f"chosen): without it nobody can say what another policy would have met. Set the router's "
            f"exploration and log its propensities from now on, or {REPLAY}."
        )
    what = "judged" if metric == "score" else "with a known cost"
    if judged < limits.min_judged:
        found.append(
            f"{judged:,} decisions are {what}; at least {limits.min_judged:,} are needed: "
            + ("score more traces." if metric == "score" else "record the cost of more runs.")
        )
    elif n - judged > limits.max_unjudged * n:
        found.append(
            f"{n - judged:,} of {n:,} decisions are not {what}, and it is unknown how those that are were "
            f"picked: score a random part of the traces, and if that is what was done raise max_unjudged "
            f"(now {limits.max_unjudged:g})."
        )
    return tuple(found)


def refusals_of_policy(overlap: Overlap, limits: Limits) -> tuple[str, ...]:
    """Returns why a log cannot answer about this policy, with advice; empty if it can."""
    if not overlap.rows:
        return ("no decision is both judged and has a known probability: score traces of a drawing router.",)
    if overlap.matched == 0:
        return (f"no overlap: the log never chose what the policy would choose; {EXPLORE}, or {REPLAY}.",)
    found = []
    if overlap.never > limits.max_never:
        found.append(
            f"{overlap.never:.0%} of the policy's choices are plans of which the log has no judged decision "
            f"(at most {limits.max_never:.0%} may be): {EXPLORE}, or {REPLAY}."
        )
    if overlap.ess < limits.min_ess:
        found.append(
            f"the effective sample size is {overlap.ess:.0f} of {overlap.rows:,} decisions (at least "
            f"{limits.min_ess:.0f} are needed): the log too rarely did what the policy would do. Collect "
            f"about {_times(overlap.ess, limits.min_ess)} times as many decisions, {EXPLORE}, or {REPLAY}."
        )
    variance = overlap.mean_weight**2 * (overlap.rows / overlap.ess - 1) if overlap.ess else 0.0
    error = float(np.sqrt(max(variance, 0) / overlap.rows))
    if abs(overlap.mean_weight - 1) > _ASTRAY * error + 0.01:
        found.append(
            f"the weights' mean is {overlap.mean_weight:.2f}, not 1: the propensities are not those of what "
            f"chose, or part of what the policy would do was never drawn. Check the propensities; else "
            f"{EXPLORE}, or {REPLAY}."
        )
    return tuple(found)


def _times(ess: float, needed: float) -> str:
    """How many times more decisions would reach the needed effective sample size."""
    return f"{needed / ess:.1f}" if ess > 0 else "many"
