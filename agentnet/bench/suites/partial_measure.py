"""Measuring learners on logs of one choice a task, of which the whole truth is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.protocol import FOLDS, Lab
from agentnet.outcomes.choices import draw_log
from agentnet.outcomes.splits import cross_fit
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import Router
from agentnet.routers.council.views import Viewer
from agentnet.routers.feedback.fitting import fit_model
from agentnet.routers.partial import FeedbackMode, doubly_robust
from agentnet.routers.registry import make_router
from agentnet.routers.single import SingleRouter

LOGS = 4000
OLDER_ROWS = 300
"""Rows with all outcomes that the older router, which writes the log, learned from; none is logged."""
EPSILONS = (0.2, 0.5)
LOGGING = ("knn", "best_single")
"""The older router: one that looks at the task, and one that does not."""
FEEDBACK = ("observed", "imputed", "weighted", "doubly_robust")
"""How learners use the log. ``observed`` and ``imputed`` ignore propensities: ``imputed`` fills the holes by
the model behind the doubly robust targets, fitted without propensities."""
RECOMMENDED = ("mixed_effects", "weighted")
LEARNERS: dict[str, tuple[str, ...]] = {
    "best_single": ("observed", "weighted"),
    "knn": FEEDBACK,
    "kmeans": ("observed", "weighted", "doubly_robust"),
    "mixed_effects": ("observed", "weighted", "doubly_robust"),
}
"""Ways to use the log by learner; the mixed-effects model imputes nothing but itself."""
SKIPPED = {"kmeans": ("best_single",)}
"""Logs that a learner is not fitted on, to save time."""
ON_TEST: dict[str, tuple[str, ...]] = {
    "knn": ("observed", "doubly_robust"),
    "mixed_effects": ("observed", "weighted"),
}
"""What is measured on the few rows of the test split beside the headline."""
Part = Literal["cross-fitted", "test"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """One draw: what may be learned from, and what is judged on.

    Attributes:
        older: Full outcomes for the older router.
        logged: Outcomes of the queries that are logged.
        test: Outcomes that decisions are judged on.
        fold: Names the rows learned from: draws of one fold share what full matrices give.
    """

    older: Outcomes
    logged: Outcomes
    test: Outcomes
    fold: int


def worlds(outcomes: Outcomes, part: Part, draws: int) -> Iterator[World]:
    """Yields a world per draw: the pack's test rows, or a fold of all rows, each draw the next."""
    folds: list[Outcomes] = []
    for draw in range(draws):
        if part == "cross-fitted":
            if draw % FOLDS == 0:
                folds = list(cross_fit(outcomes, FOLDS, seed=draw // FOLDS))
            cut = folds[draw % FOLDS]
        else:
            cut = outcomes
        inside = cut.without_split("test")
        inside = inside.with_split(np.full(len(inside), "train"))
        order = np.random.default_rng((7, draw)).permutation(len(inside))
        yield World(
            older=inside.take(np.sort(order[:OLDER_ROWS])),
            logged=inside.take(np.sort(order[OLDER_ROWS:])),
            test=cut.split("test"),
            fold=draw if part == "cross-fitted" else 0,
        )


@dataclass(frozen=True, slots=True)
class Bench:
    """Fits learners and scores their decisions.

    Attributes:
        lab: Encoder and progress.
        learners: Ways to use a log, by learner.
        logs: Decisions in a log.
    """

    lab: Lab
    learners: dict[str, tuple[str, ...]]
    logs: int = LOGS

    def draw(self, world: World, draw: int) -> Iterator[dict[str, Any]]:
        """Yields a row per logging router, epsilon, learner and way to use the log, without `full`."""
        truth = world.test.score.astype(np.float64)
        needs = any({"imputed", "doubly_robust"} & set(ways) for ways in self.learners.values())
        best = int(np.nanargmax(_joined_mean(world)))
        single = float(truth[:, best].mean())
        for logging in LOGGING:
            older = self.fit(logging, world.older, "observed")
            here = np.eye(len(world.logged.pool))[choices(older, world.logged)]
            there = self.value(older, world.test)
            for epsilon in EPSILONS:
                mixed = epsilon / here.shape[1] + (1 - epsilon) * here
                rng = np.random.default_rng((11, draw, LOGGING.index(logging), round(epsilon * 100)))
                log = draw_log(world.logged, mixed, self.logs, rng, router=logging).to_outcomes()
                log = log.take(np.asarray(log.observed.any(1)))
                common = {"draw": draw, "logging": logging, "epsilon": epsilon, "best_single": single}
                common |= {"logging_score": (1 - epsilon) * there + epsilon * float(truth.mean())}
                given = self.filled(log) if needs else {}
                for learner, ways in self.learners.items():
                    if logging in SKIPPED.get(learner, ()):
                        continue
                    for way in ways:
                        score = self.value(self.fit(learner, given.get(way, log), way), world.test)
                        yield common | {"learner": learner, "feedback": way, "score": score}

    def full(self, world: World) -> dict[str, float]:
        """Returns the score of every learner that was given all outcomes of the logged queries and more."""
        inside = _joined(world)
        return {name: self.value(self.fit(name, inside, "observed"), world.test) for name in self.learners}

    def fit(self, name: str, outcomes: Outcomes, way: str) -> Router:
        """Returns a learner fitted in one of `FEEDBACK`."""
        router = make_router(name)
        router.use_encoder(self.lab.encoder)
        mode: FeedbackMode = "weighted" if way == "weighted" else "observed"
        router.fit(outcomes, outcomes.pool, feedback=mode)
        return router

    def filled(self, log: Outcomes) -> dict[str, Outcomes]:
        """Returns the full matrices of targets; learners share them, as ``fit`` would make each anew."""
        vectors = Viewer(self.lab.encoder, entities=False).encode(log.tasks())
        blind = replace(log, propensity=np.full_like(log.propensity, np.nan))
        tables = {"doubly_robust": log, "imputed": blind}
        return {
            way: doubly_robust(table, fit_model(table, vectors, seed=0).left_out)
            for way, table in tables.items()
        }

    def value(self, router: Router, test: Outcomes) -> float:
        """Returns the mean true score of what a router chooses."""
        return float(test.score[np.arange(len(test)), choices(router, test)].mean())


def choices(router: Router, outcomes: Outcomes) -> NDArray[np.intp]:
    """Returns [n] the agents a router of single agents chooses; without making decisions of them."""
    assert isinstance(router, SingleRouter)
    scores = router.score_batch(outcomes.tasks(), outcomes.pool)
    return router._pick(outcomes.tasks(), outcomes.pool, scores, router.options)[0]


def _joined(world: World) -> Outcomes:
    """All rows that may be learned from, with all outcomes."""
    older, logged = world.older, world.logged
    queries = replace(
        logged.queries,
        query_id=np.concatenate((older.queries.query_id, logged.queries.query_id)),
        split=np.concatenate((older.queries.split, logged.queries.split)),
        **{
            name: (*getattr(older.queries, name), *getattr(logged.queries, name))
            for name in ("text", "context", "history", "task", "gold", "metric")
        },
    )
    return Outcomes(
        queries=queries,
        pool=logged.pool,
        score=np.concatenate((older.score, logged.score)),
        cost=np.concatenate((older.cost, logged.cost)),
    )


def _joined_mean(world: World) -> Floats:
    """[A] mean score over all rows that may be learned from."""
    means: Floats = np.concatenate((world.older.score, world.logged.score)).mean(0, dtype=np.float64)
    return means


def measure(
    bench: Bench, outcomes: Outcomes, part: Part, draws: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Returns all rows of all draws, with the score of the full matrix beside each."""
    rows: list[dict[str, Any]] = []
    full: dict[int, dict[str, float]] = {}
    for draw, world in enumerate(worlds(outcomes, part, draws)):
        say(f"{part}: draw {draw + 1} of {draws}")
        if world.fold not in full:
            full[world.fold] = bench.full(world)
        rows += [row | {"full": full[world.fold][row["learner"]]} for row in bench.draw(world, draw)]
    return rows


def learners_of(names: Sequence[str] | None, part: Part) -> dict[str, tuple[str, ...]]:
    """Returns the learners wanted, with the ways to use a log."""
    known = LEARNERS if part == "cross-fitted" else ON_TEST
    if not names:
        return known
    return {name: known.get(name, LEARNERS.get(name, ("observed", "weighted"))) for name in names}
