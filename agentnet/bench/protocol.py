"""The protocol of the routing suite: what is fitted on what, and which figures come from where.

Everything is *replayed*: recorded outcomes, no live call. All selection, the operating point included,
uses train and val rows; test rows are scored once per router, seed and dial setting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.evaluate import Evaluation, evaluate
from agentnet.bench.scoring import Scorer
from agentnet.outcomes.encoders import Encoder
from agentnet.outcomes.splits import cross_fit
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import RouteOptions, Router
from agentnet.routers.registry import make_router

DIAL = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Settings of the quality-cost dial that make a curve."""
RANDOMISED = frozenset({"random", "kmeans", "task_best"})
"""Routers whose result depends on the seed; the others are fitted once."""
FOLDS = 5
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """One setting of the dial on one set of rows.

    Attributes:
        cost_weight: The setting.
        scores: [n] per query.
        costs: [n] USD per query; NaN unknown.
    """

    cost_weight: float
    scores: NDArray[np.float64]
    costs: NDArray[np.float64]

    @property
    def score(self) -> float:
        """Mean score."""
        return float(self.scores.mean())

    @property
    def cost(self) -> float:
        """Mean USD; NaN once any is unknown."""
        return float(self.costs.mean())


@dataclass(frozen=True, slots=True, eq=False)
class RouterRun:
    """One router fitted under one seed.

    Attributes:
        evaluation: At dial 0, quality only.
        curve: Every setting of `DIAL` on the test rows.
        matched: Index into ``curve`` of the operating point chosen by cross-validation on train and val:
            the cheapest setting that scores at least as much there as the best single agent; None where
            no setting does or costs are unknown.
    """

    name: str
    seed: int
    evaluation: Evaluation
    curve: tuple[Point, ...]
    matched: int | None


@dataclass(frozen=True, slots=True)
class Lab:
    """Fits routers with one shared encoder, so that every text is encoded once."""

    encoder: Encoder
    progress: Progress = field(default=lambda text: None)

    def fit(self, name: str, outcomes: Outcomes, *, seed: int, rows: Outcomes | None = None) -> Router:
        """Fits a router on the train and val rows; the oracle alone is fitted on ``rows`` it is scored on."""
        router = make_router(name)
        router.use_encoder(self.encoder)
        router.fit(rows if name == "oracle" and rows is not None else outcomes, outcomes.pool, seed=seed)
        return router

    def run(self, name: str, outcomes: Outcomes, *, seed: int) -> RouterRun:
        """Fits on train and val, scores test once per dial setting."""
        test = outcomes.split("test")
        self.progress(f"{name}, seed {seed}")
        router = self.fit(name, outcomes, seed=seed, rows=test.with_split(np.full(len(test), "train")))
        quality = RouteOptions(cost_weight=0.0)
        evaluation = evaluate(router, outcomes, options=quality, seed=seed)
        curve = tuple(self.curve(router, test, seed=seed))
        matched = None if name == "oracle" else self.match(name, outcomes, seed=seed)
        return RouterRun(name, seed, evaluation, curve, matched)

    def curve(self, router: Router, rows: Outcomes, *, seed: int) -> Iterator[Point]:
        """Yields a point per dial setting."""
        tasks = rows.tasks()
        vectors = router.encode(tasks)
        scorer = Scorer(rows)
        for weight in DIAL:
            options = RouteOptions(cost_weight=weight, rng=np.random.default_rng(seed))
            scored = scorer.score(router.route_batch(tasks, rows.pool, options=options, vectors=vectors))
            costs = [np.nan if row.cost_usd is None else row.cost_usd for row in scored]
            yield Point(weight, np.array([row.score for row in scored]), np.array(costs))

    def match(self, name: str, outcomes: Outcomes, *, seed: int) -> int | None:
        """Index of the operating point, by cross-validation inside train and val."""
        inside = outcomes.without_split("test")
        curves = [
            list(self.curve(self.fit(name, fold, seed=seed), fold.split("test"), seed=seed))
            for fold in cross_fit(inside, FOLDS, seed)
        ]
        scores = [np.concatenate([c[i].scores for c in curves]).mean() for i in range(len(DIAL))]
        costs = [np.concatenate([c[i].costs for c in curves]).mean() for i in range(len(DIAL))]
        target = float(np.nanmax(inside.mean_score))
        good = [i for i in range(len(DIAL)) if scores[i] >= target - 1e-9 and not np.isnan(costs[i])]
        return min(good, key=lambda i: costs[i], default=None)

    def cross_fitted(self, name: str, outcomes: Outcomes, *, seed: int) -> list[RouterRun]:
        """One run per fold; the folds' test rows together are all rows. All selection is inside the fold."""
        return [self.run(name, fold, seed=seed) for fold in cross_fit(outcomes, FOLDS, seed)]


def seeds_for(name: str, seeds: int) -> Sequence[int]:
    """The seeds a router is run with: one where the seed changes nothing."""
    return range(seeds) if name in RANDOMISED else range(1)


def merge(runs: Sequence[RouterRun]) -> RouterRun:
    """Joins the folds of one cross-fitted router into one run over all rows.

    The matched point keeps each fold's own operating point: its scores and costs are put at the place of
    the first fold's setting.
    """
    first = runs[0]
    curve = [
        Point(
            point.cost_weight,
            np.concatenate([run.curve[i].scores for run in runs]),
            np.concatenate([run.curve[i].costs for run in runs]),
        )
        for i, point in enumerate(first.curve)
    ]
    matched = None
    if all(run.matched is not None for run in runs):
        picked = [run.curve[run.matched] for run in runs if run.matched is not None]
        curve.append(
            Point(
                float("nan"),
                np.concatenate([point.scores for point in picked]),
                np.concatenate([point.costs for point in picked]),
            )
        )
        matched = len(curve) - 1
    parts = [run.evaluation for run in runs]
    best = [part.best_single_scores for part in parts]
    evaluation = replace(
        parts[0],
        split="cross-fitted",
        rows=[row for part in parts for row in part.rows],
        scores=np.concatenate([part.scores for part in parts]),
        costs=np.concatenate([part.costs for part in parts]),
        best_single_scores=None
        if any(b is None for b in best)
        else np.concatenate([b for b in best if b is not None]),
        oracle=float(np.average([part.oracle for part in parts], weights=[len(part.rows) for part in parts])),
    )
    return RouterRun(first.name, first.seed, evaluation, tuple(curve), matched)
