"""The protocol of the routing suite: what is fitted on what, and which figures come from where.

Everything is *replayed*: recorded outcomes, no live call. All selection, the operating point included,
uses train and val rows; test rows are scored once per router, seed and dial setting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.evaluate import BestSingle, Evaluation, evaluate
from agentnet.bench.points import Picked, Point, by_budget, pick
from agentnet.bench.scoring import Scorer
from agentnet.graphs.answers import normalise
from agentnet.outcomes.encoders import Encoder, task_text
from agentnet.outcomes.splits import cross_fit
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import RouteOptions, Router
from agentnet.routers.registry import make_router, router_class
from agentnet.routers.selection import DIAL_GRID
from agentnet.routers.settings import setting_types

DIAL = DIAL_GRID
"""Settings of the quality-cost dial that make a curve, the same for every router."""
RANDOMISED = frozenset({"random", "kmeans"})
"""Routers whose choices depend on the seed; for the others it decides at most which rows tune them."""
FOLDS = 5
_CHUNK = 512
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a comparison: a router under some settings.

    Attributes:
        label: Its name in tables.
        router: Name of the router.
        settings: Of the router. None takes its defaults, and the folds that find the operating point keep
            what the fit chose; else every fold chooses anew what these leave open.
        randomised: Whether choices depend on the seed.
    """

    label: str
    router: str
    settings: Mapping[str, Any] | None = None
    randomised: bool = False

    @classmethod
    def of(cls, name: str) -> Entry:
        """Returns a router by its name, with its defaults."""
        return cls(name, name, randomised=name in RANDOMISED)


@dataclass(frozen=True, slots=True, eq=False)
class RouterRun:
    """One router fitted under one seed.

    Attributes:
        name: The router.
        seed: Of the fit.
        evaluation: At dial 0, quality only.
        curve: Every setting of `DIAL` on the test rows.
        matched: The operating point that cross-validation on train and val chose: the cheapest setting that
            scores at least as much there as the best single agent, or else the one that scores most; None
            where costs are unknown.
        near: The same with a score of at most one point less than the best single agent's.
        double: The setting that scored most there at no more than twice the best single agent's cost.
        budgets: The curve by budget (see `by_budget`); empty where costs are unknown.
        drawing: The evidence for the first test row's decision as SVG, where the router draws it.
    """

    name: str
    seed: int
    evaluation: Evaluation
    curve: tuple[Point, ...]
    matched: Point | None
    near: Point | None = None
    double: Point | None = None
    budgets: tuple[Point, ...] = ()
    drawing: str | None = None


@dataclass(frozen=True, slots=True)
class Lab:
    """Fits and measures routers.

    Attributes:
        encoder: Shared by all routers, with a cache: every text is encoded once.
        uncached: The same without a cache, for timing.
        progress: Called with what is being done.
    """

    encoder: Encoder
    uncached: Encoder
    progress: Progress = field(default=lambda text: None)

    def encode(self, outcomes: Outcomes) -> None:
        """Encodes the texts of all rows, a chunk at a time."""
        texts = [task_text(task) for task in outcomes.tasks()]
        for start in range(0, len(texts), _CHUNK):
            self.encoder.encode(texts[start : start + _CHUNK])
            self.progress(f"encoded {min(start + _CHUNK, len(texts)):,} of {len(texts):,} texts")

    def fit(
        self, name: str, outcomes: Outcomes, *, seed: int, settings: Mapping[str, Any] | None = None
    ) -> tuple[Router, dict[str, Any]]:
        """Fits a router on the train and val rows; returns it and the settings that the fit chose.

        Only the oracle sees the test rows: it is the bound, not a router.
        """
        router = make_router(name, **(settings or {}))
        router.use_encoder(self.encoder)
        report = router.fit(outcomes, outcomes.pool, seed=seed)
        kinds = setting_types(router_class(name))
        return router, {key: value for key, value in report.chosen.items() if key in kinds}

    def run(
        self, what: str | Entry, outcomes: Outcomes, *, seeds: Sequence[int], timed: bool = True
    ) -> list[RouterRun]:
        """Fits once per seed and scores test once per dial setting.

        The operating point and the mixes of the curve by budget are chosen once, with the first seed.
        """
        entry = Entry.of(what) if isinstance(what, str) else what
        name, given = entry.router, entry.settings
        inside = outcomes.without_split("test")
        reference = dict(zip(inside.agents, inside.mean_score.tolist(), strict=True))
        test = outcomes.split("test")
        runs: list[RouterRun] = []
        inner: tuple[Point, ...] = ()
        picked: Picked | None = None
        for seed in seeds:
            self.progress(f"{entry.label}, seed {seed}")
            router, chosen = self.fit(name, outcomes, seed=seed, settings=given)
            evaluation = evaluate(
                router,
                outcomes,
                options=RouteOptions(cost_weight=0.0),
                seed=seed,
                reference=reference,
                time_decisions=timed and not runs,
                uncached=self.uncached,
            )
            if not runs and name != "oracle":
                inner = self.inner(name, inside, seed=seed, settings=chosen if given is None else given)
                picked = pick(inner, *best_inside(inside))
            curve = self.curve(router, test, seed=seed)
            matched, near, double = (None if at is None else curve[at] for at in picked or (None,) * 3)
            budgets = by_budget(curve, inner)
            runs.append(
                RouterRun(
                    entry.label,
                    seed,
                    evaluation,
                    curve,
                    matched,
                    near,
                    double,
                    budgets=budgets,
                    drawing=None if runs else drawn(router, test),
                )
            )
        return runs

    def curve(self, router: Router, rows: Outcomes, *, seed: int) -> tuple[Point, ...]:
        """Returns a point per dial setting; scores are predicted once for all of them."""
        tasks = rows.tasks()
        vectors = router.encode(tasks)
        scores = router.score_batch(tasks, rows.pool, vectors=vectors)
        scorer = Scorer(rows)
        points = []
        for weight in DIAL:
            options = RouteOptions(cost_weight=weight, rng=np.random.default_rng(seed))
            decisions = router.route_batch(tasks, rows.pool, options=options, vectors=vectors, scores=scores)
            scored = scorer.score(decisions)
            costs = [np.nan if row.cost_usd is None else row.cost_usd for row in scored]
            points.append(Point(weight, np.array([row.score for row in scored]), np.array(costs)))
        return tuple(points)

    def match(
        self, name: str, inside: Outcomes, *, seed: int, settings: Mapping[str, Any] | None = None
    ) -> Picked | None:
        """Returns the indices into `DIAL` of the operating points, by cross-validation on the given rows.

        Args:
            name: The router.
            inside: Train and val rows.
            seed: Deals the folds.
            settings: Hyper-parameters to keep; None lets every fold choose its own.
        """
        return pick(self.inner(name, inside, seed=seed, settings=settings), *best_inside(inside))

    def inner(
        self, name: str, inside: Outcomes, *, seed: int, settings: Mapping[str, Any] | None = None
    ) -> tuple[Point, ...]:
        """Returns the curve that cross-validation on the given rows finds; arguments as in `match`."""
        curves = []
        for number, fold in enumerate(cross_fit(inside, FOLDS, seed)):
            self.progress(f"{name}, operating point, fold {number + 1} of {FOLDS}")
            router, _ = self.fit(name, fold, seed=seed, settings=settings)
            curves.append(self.curve(router, fold.split("test"), seed=seed))
        return tuple(
            Point(
                DIAL[i],
                np.concatenate([curve[i].scores for curve in curves]),
                np.concatenate([curve[i].costs for curve in curves]),
            )
            for i in range(len(DIAL))
        )

    def _in_fold(self, number: int, text: str) -> None:
        self.progress(f"cross-fitting, fold {number + 1} of {FOLDS}: {text}")

    def cross_fitted(self, what: str | Entry, outcomes: Outcomes, *, seeds: Sequence[int]) -> list[RouterRun]:
        """One run per seed over all rows, each row from the fold in which it was test.

        All selection is inside the fold. The deal of the folds is the same for every router.
        """
        folds = list(cross_fit(outcomes, FOLDS, 0))
        parts = []
        for number, fold in enumerate(folds):
            lab = replace(self, progress=partial(self._in_fold, number))
            parts.append(lab.run(what, fold, seeds=seeds, timed=number == 0))
        ids = outcomes.queries.query_id.tolist()
        return [merge(runs, ids) for runs in zip(*parts, strict=True)]


def drawn(router: Router, rows: Outcomes) -> str | None:
    """Returns the evidence for the decision on the first row as SVG; None where the router draws none."""
    return router.route(rows.tasks()[0], rows.pool).evidence.to_svg()


def seeds_for(what: str | Entry, seeds: int) -> Sequence[int]:
    """The seeds a router is run with: one where the seed changes nothing."""
    entry = Entry.of(what) if isinstance(what, str) else what
    return range(seeds) if entry.randomised else range(1)


def best_inside(inside: Outcomes) -> tuple[float, float]:
    """Returns mean score and mean USD (NaN unknown) of the agent that scores most on these rows."""
    best = int(np.nanargmax(inside.mean_score))
    return float(inside.mean_score[best]), float(inside.cost[:, best].mean())


def compact(outcomes: Outcomes) -> Outcomes:
    """Returns the outcomes with each response replaced by the number of its group of equal answers.

    Votes and agreement come out the same, as the routers of this suite compare answers and read nothing
    else in them; but long texts are normalised once, not in every fit.
    """
    if outcomes.response is None:
        return outcomes
    short = np.full(outcomes.response.shape, None, object)
    for i, texts in enumerate(outcomes.response):
        seen: dict[str, str] = {}
        for j, text in enumerate(texts):
            if text is not None:
                key = normalise(text)
                short[i, j] = seen.setdefault(key, str(len(seen))) if key else ""
    return replace(outcomes, response=short)


def merge(runs: Sequence[RouterRun], order: Sequence[str]) -> RouterRun:
    """Joins the folds of one cross-fitted router into one run over all rows.

    Args:
        runs: One per fold.
        order: Query ids in the order wanted, so that routers can be compared row by row.
    """
    first = runs[0]
    rows = [row for run in runs for row in run.evaluation.rows]
    place = {query_id: i for i, query_id in enumerate(order)}
    at = np.argsort([place[row.query_id] for row in rows])

    def joined(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.concatenate(parts)[at]

    def point(parts: Sequence[Point]) -> Point:
        weights = {part.cost_weight for part in parts}
        weight = weights.pop() if len(weights) == 1 else float("nan")
        return Point(weight, joined([p.scores for p in parts]), joined([p.costs for p in parts]))

    parts = [run.evaluation for run in runs]
    best = [part.best_single for part in parts if part.best_single is not None]
    names = list(dict.fromkeys(item.agent for item in best))
    evaluation = replace(
        parts[0],
        split="cross-fitted",
        rows=[rows[i] for i in at],
        scores=joined([part.scores for part in parts]),
        costs=joined([part.costs for part in parts]),
        best_single=BestSingle(
            agent=" / ".join(names),
            scores=joined([item.scores for item in best]),
            costs=joined([item.costs for item in best]),
        )
        if len(best) == len(parts)
        else None,
        oracle=float(np.average([part.oracle for part in parts], weights=[len(part.rows) for part in parts])),
    )
    curve = tuple(point([run.curve[i] for run in runs]) for i in range(len(first.curve)))

    def picked(found: Sequence[Point | None]) -> Point | None:
        known = [item for item in found if item is not None]
        return point(known) if len(known) == len(runs) else None

    return RouterRun(
        first.name,
        first.seed,
        evaluation,
        curve,
        matched=picked([run.matched for run in runs]),
        near=picked([run.near for run in runs]),
        double=picked([run.double for run in runs]),
        budgets=_join_budgets(runs, point),
        drawing=first.drawing,
    )


def _join_budgets(runs: Sequence[RouterRun], point: Callable[[Sequence[Point]], Point]) -> tuple[Point, ...]:
    """The folds' curves by budget, joined by place: each fold's mixes come from its own training rows."""
    if not all(run.budgets for run in runs):
        return ()
    # A fold whose hull is one point spends the same whatever the budget.
    most = max(len(run.budgets) for run in runs)
    return tuple(point([run.budgets[min(i, len(run.budgets) - 1)] for run in runs]) for i in range(most))
