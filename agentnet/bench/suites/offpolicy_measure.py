"""Measures off-policy estimators on logs drawn from a full matrix, where the truth is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.offpolicy import compare_policies, evaluate_policy, reduce_vectors
from agentnet.bench.offpolicy.evaluate import OffPolicyReport
from agentnet.bench.suites.offpolicy_world import World
from agentnet.outcomes.choices import ChoiceLog, draw_log

Floats = NDArray[np.float64]
SIZES = (500, 1000, 2000, 5000)
DRAWS = 50
GOOD = 200.0
"""Effective sample size from which overlap is called good."""
MODELS = {
    "given": "the reward model is a kNN router's, fitted on the other half, recalibrated on the log",
    "own": "the reward model is fitted on the log alone, cross-fitted over queries",
}
"""Where the reward model comes from, with what it is."""
DIFFERENCE = "difference"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cases:
    """Every log that was drawn, c of them, with what the estimators made of it.

    Attributes:
        pair: [c] number of the pair.
        size: [c] decisions.
        truth: [c] true value of the target.
        ess: [c] effective sample size.
        answered: [c] whether the log could answer.
        found: [c, 3] value, low and high by estimator.
        difference: [c, 4] value, low, high and truth of the difference to the logging policy.
        told: [c] whether the log could answer on the difference.
    """

    pair: NDArray[np.intp]
    size: NDArray[np.intp]
    truth: Floats
    ess: Floats
    answered: NDArray[np.bool_]
    found: Mapping[str, Floats]
    difference: Floats
    told: NDArray[np.bool_]

    @classmethod
    def join(cls, parts: Sequence[Cases]) -> Cases:
        """Pools the cases of several packs; pairs of different packs stay apart."""
        shift = np.cumsum([0, *(int(part.pair.max()) + 1 for part in parts)])
        names = parts[0].found

        def joined(name: str) -> Any:
            return np.concatenate([getattr(part, name) for part in parts])

        return cls(
            pair=np.concatenate([part.pair + shift[i] for i, part in enumerate(parts)]),
            found={name: np.concatenate([part.found[name] for part in parts]) for name in names},
            **{name: joined(name) for name in ("size", "truth", "ess", "answered", "difference", "told")},
        )


def measure(
    world: World,
    pairs: Sequence[tuple[str, str]],
    *,
    seed: int,
    sizes: Sequence[int] = SIZES,
    draws: int = DRAWS,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Cases]:
    """Draws the logs and asks every estimator, with each of `MODELS`.

    Args:
        world: The half of the pack that logs are drawn from, and the policies.
        pairs: Names of logging and target policy.
        seed: Of the draws.
        sizes: Decisions of a log.
        draws: Logs a pair and size.
        say: Told what is being done.
    """
    rows: dict[str, list[Any]] = {model: [] for model in MODELS}
    vectors = reduce_vectors(world.vectors)
    for number, (logging, target) in enumerate(pairs):
        say(f"pair {number + 1} of {len(pairs)}: {target} from logs of {logging}")
        truth = world.truth(target)
        gain = truth - float((world.logging[logging] * world.outcomes.score).sum(1).mean())
        for size in sizes:
            for draw in range(draws):
                rng = np.random.default_rng([seed, number, size, draw])
                log = draw_log(world.outcomes, world.logging[logging], size, rng, router=logging)
                for model in MODELS:
                    settings: dict[str, Any] = (
                        {"reward_model": world.predicted} if model == "given" else {"vectors": vectors}
                    )
                    report = evaluate_policy(log, world.targets[target], seed=draw, **settings)
                    difference = _difference(log, world.targets[target], model, settings, draw)
                    rows[model].append((number, size, truth, report, (*difference[:3], gain), difference[3]))
    return {model: _cases(found) for model, found in rows.items()}


def _difference(
    log: ChoiceLog, target: Floats, model: str, settings: Mapping[str, Any], seed: int
) -> tuple[float, float, float, bool]:
    """The difference to the logging policy; with the given model alone, to save time."""
    if model != "given":
        return (float("nan"),) * 3 + (False,)
    found = compare_policies(log, target, seed=seed, **settings)
    return found.value, found.low, found.high, found.answered


def _cases(rows: Sequence[tuple[Any, ...]]) -> Cases:
    numbers, sizes, truths, reports, differences, told = zip(*rows, strict=True)
    names = [item.name for item in reports[0].estimates]

    def figures(report: OffPolicyReport, name: str) -> tuple[float, float, float]:
        found = report.estimate(name)
        return found.value, found.low, found.high

    return Cases(
        pair=np.array(numbers, np.intp),
        size=np.array(sizes, np.intp),
        truth=np.array(truths, np.float64),
        ess=np.array([report.ess for report in reports]),
        answered=np.array([report.answered for report in reports]),
        found={name: np.array([figures(report, name) for report in reports]) for name in names},
        difference=np.array(differences, np.float64),
        told=np.array(told, bool),
    )


def covered(found: Floats, truth: Floats) -> NDArray[np.bool_]:
    """[c] whether the interval holds the truth; a hair's breadth is granted to rounding."""
    holds: NDArray[np.bool_] = (found[:, 1] <= truth + 1e-9) & (truth <= found[:, 2] + 1e-9)
    return holds


def summary(cases: Cases, rows: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Returns a row an estimator: bias, RMSE, coverage and width of the intervals on some cases."""
    table = []
    for name, every in cases.found.items():
        found, truth = every[rows], cases.truth[rows]
        error = found[:, 0] - truth
        good = cases.ess[rows] >= GOOD
        some = np.isfinite(error)  # SNIPS has no value where every weight is 0
        table.append(
            {
                "estimator": name,
                "cases": int(rows.sum()),
                "bias": float(error[some].mean()),
                "mean_abs_pair_bias": _pair_bias(cases.pair[rows][some], error[some]),
                "rmse": float(np.sqrt((error[some] ** 2).mean())),
                "rmse_good": float(np.sqrt((error[good] ** 2).mean())) if good.any() else float("nan"),
                "coverage": float(covered(found, truth).mean()),
                "coverage_good": float(covered(found, truth)[good].mean()) if good.any() else float("nan"),
                "width": float((found[some, 2] - found[some, 1]).mean()),
            }
        )
    return table


def _pair_bias(pair: NDArray[np.intp], error: Floats) -> float:
    """Mean over pairs of the absolute mean error: what averaging over pairs of either sign would hide."""
    total, size = np.bincount(pair, error), np.bincount(pair)
    return float(np.abs(total[size > 0] / size[size > 0]).mean())


def pair_rows(
    cases: Cases, pairs: Sequence[tuple[str, str]], overlap: Sequence[float]
) -> list[dict[str, Any]]:
    """Returns a row a pair and size: overlap, truth, share answered, and every estimator over all draws."""
    table = []
    for number, (logging, target) in enumerate(pairs):
        for size in np.unique(cases.size):
            rows = (cases.pair == number) & (cases.size == size)
            truth = cases.truth[rows]
            answered = cases.answered[rows]
            row: dict[str, Any] = {
                "logging": logging,
                "target": target,
                "size": int(size),
                "overlap": float(overlap[number]),
                "truth": float(truth[0]),
                "ess_median": float(np.median(cases.ess[rows])),
                "answered": float(answered.mean()),
                "estimators": {},
            }
            for name, every in cases.found.items():
                found = every[rows]
                error = found[:, 0] - truth
                row["estimators"][name] = {
                    "bias": float(error.mean()),
                    "rmse": float(np.sqrt((error**2).mean())),
                    "coverage": float(covered(found, truth).mean()),
                    "coverage_answered": float(covered(found, truth)[answered].mean())
                    if answered.any()
                    else float("nan"),
                }
            table.append(row)
    return table
