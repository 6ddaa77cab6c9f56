"""The replayed part of suite ``topology``: who takes part, per task, on recorded answers.

The output is a weighted vote, so that leaving an agent out, or stopping it where others agree, is replayed
exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench import metrics
from agentnet.bench.curves import Curve, compare
from agentnet.bench.points import Point
from agentnet.bench.protocol import DIAL, FOLDS, Entry, Lab, compact, seeds_for
from agentnet.bench.scoring import Scorer
from agentnet.bench.suites.compared import COMPARED, HEAD, comparison_cells
from agentnet.bench.suites.topology_figures import Cell, Figure, plot, table
from agentnet.bench.suites.topology_subsets import Subsets, search, table_of
from agentnet.outcomes.splits import cross_fit
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import RouteOptions, Router
from agentnet.routers.plans import AnswerTable, Plan

Floats = NDArray[np.float64]
OURS = (
    Entry("agp", "agp", {"recipe": "agentnet"}, randomised=True),
    Entry("agp paper", "agp", {"recipe": "paper"}, randomised=True),
)
RIVALS = tuple(Entry.of(name) for name in ("cascade", "vote", "knn", "kmeans"))
SUBSET, SINGLE, EVERYBODY = "best fixed subset", "best single", "full ensemble"
NOTE = (
    f"Replayed: recorded answers, cross-fitted in {FOLDS} folds over all queries; each query is decided by "
    "a router that saw neither it nor its score. At each setting of the dial the best fixed subset is that "
    "which scored most on the fold's training rows among those that cost no more than the router on the rows "
    "judged (where none is so cheap, the cheapest); costs are compared, scores of these rows select nothing. "
    "Its members vote with the log-odds of their training scores. Differences are paired over queries; at "
    "once: in an interval that holds for all settings together (max-t bootstrap)."
)


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """One setting of the dial on all n queries; means over seeds.

    Attributes:
        dial: The setting.
        score: [n].
        cost: [n] USD.
        ran: [n] agents that ran.
        subset_score: [n] of the best fixed subset of equal or lower cost.
        subset_cost: [n] USD.
        subset_size: [n] its members.
    """

    dial: float
    score: Floats
    cost: Floats
    ran: Floats
    subset_score: Floats
    subset_cost: Floats
    subset_size: Floats


def run(
    name: str,
    outcomes: Outcomes,
    entries: Sequence[Entry],
    seeds: int,
    lab: Lab,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Cross-fits all entries on a pack; returns the part of the results.

    Args:
        name: Of the pack.
        outcomes: Recorded answers with texts, all agents on all queries.
        entries: Routers; those of `OURS` are compared.
        seeds: Of randomised routers.
        lab: Fits and scores.
        say: Told what is being done.
    """
    outcomes = compact(outcomes)
    lab = replace(lab, progress=say)
    lab.encode(outcomes)
    folds = list(cross_fit(outcomes, FOLDS, 0))
    fixed = []
    for number, fold in enumerate(folds, 1):
        say(f"fixed subsets, fold {number} of {FOLDS}")
        fixed.append(search(table_of(fold.without_split("test"))))
    order = _order(folds, outcomes)
    levels: dict[str, list[Level]] = {}
    for entry in entries:
        runs = []
        for seed in seeds_for(entry, seeds):
            parts = []
            for number, (fold, subsets) in enumerate(zip(folds, fixed, strict=True), 1):
                say(f"{entry.label}, seed {seed}, fold {number} of {FOLDS}")
                router, _ = lab.fit(entry.router, fold, seed=seed, settings=entry.settings)
                parts.append(_levels(router, fold.split("test"), subsets, seed))
            runs.append([_join(same, order) for same in zip(*parts, strict=True)])
        levels[entry.label] = [_mean(same) for same in zip(*runs, strict=True)]
    fixed_points = _fixed(folds, fixed, order)
    return report(name, outcomes, levels, fixed_points, seeds)


def _levels(router: Router, rows: Outcomes, subsets: Subsets, seed: int) -> list[Level]:
    """Every setting of the dial on one fold's test rows."""
    tasks, scorer, answers = rows.tasks(), Scorer(rows), table_of(rows)
    vectors = router.encode(tasks)
    scores = router.score_batch(tasks, rows.pool, vectors=vectors)
    agent_cost = answers.cost.mean(0)
    found = []
    for dial in DIAL:
        options = RouteOptions(cost_weight=dial, rng=np.random.default_rng(seed))
        decisions = router.route_batch(tasks, rows.pool, options=options, vectors=vectors, scores=scores)
        scored = scorer.score(decisions)
        cost = np.array([np.nan if row.cost_usd is None else row.cost_usd for row in scored])
        plan = subsets.plan(subsets.best(agent_cost, float(cost.mean())))
        won, paid, _ = answers.replay(plan)
        found.append(
            Level(
                dial=dial,
                score=np.array([row.score for row in scored]),
                cost=cost,
                ran=np.array([len(row.agents) for row in scored], float),
                subset_score=won,
                subset_cost=paid,
                subset_size=np.full(len(rows), float(len(plan.agents))),
            )
        )
    return found


_COLUMNS = ("score", "cost", "ran", "subset_score", "subset_cost", "subset_size")


def _order(folds: Sequence[Outcomes], outcomes: Outcomes) -> NDArray[np.intp]:
    """Where each query of the outcomes stands among the folds' test rows, one fold after the other."""
    ids = np.concatenate([fold.split("test").queries.query_id for fold in folds]).tolist()
    place = {query_id: i for i, query_id in enumerate(ids)}
    return np.array([place[query_id] for query_id in outcomes.queries.query_id.tolist()])


def _join(parts: Sequence[Level], order: NDArray[np.intp]) -> Level:
    joined = {key: np.concatenate([getattr(part, key) for part in parts])[order] for key in _COLUMNS}
    return Level(dial=parts[0].dial, **joined)


def _mean(parts: Sequence[Level]) -> Level:
    return Level(
        dial=parts[0].dial,
        **{key: np.mean([getattr(part, key) for part in parts], axis=0) for key in _COLUMNS},
    )


def _fixed(
    folds: Sequence[Outcomes], fixed: Sequence[Subsets], order: NDArray[np.intp]
) -> dict[str, tuple[Floats, Floats, float]]:
    """[n] scores, [n] USD and mean agents of the best single agent and of the vote of everybody."""
    found = {}
    for label in (SINGLE, EVERYBODY):
        scores, costs, sizes = [], [], []
        for fold, subsets in zip(folds, fixed, strict=True):
            answers: AnswerTable = table_of(fold.split("test"))
            whole = subsets.plan(int(subsets.members.sum(1).argmax()))
            first = Plan(((subsets.agents[int(subsets.order[0])],),), ((1.0,),))
            plan = whole if label == EVERYBODY else first
            won, paid, _ = answers.replay(plan)
            scores.append(won)
            costs.append(paid)
            sizes.append(len(plan.agents))
        found[label] = np.concatenate(scores)[order], np.concatenate(costs)[order], float(np.mean(sizes))
    return found


# -- tables ----------------------------------------------------------------------------------------
def report(
    name: str,
    outcomes: Outcomes,
    levels: Mapping[str, Sequence[Level]],
    fixed: Mapping[str, tuple[Floats, Floats, float]],
    seeds: int,
) -> dict[str, Any]:
    """Returns tables and plots of one pack."""
    ours = [entry.label for entry in OURS if entry.label in levels]
    tables, verdicts = [overview(levels, fixed)], {}
    for label in ours:
        told = distinct(levels[label])
        made, verdicts[label] = against_subset(label, told)
        tables.append(made)
    tables.append(against_rivals(levels, ours))
    plots = [frontier(levels, fixed)]
    return {
        "kind": "replayed",
        "name": name,
        "n": len(outcomes),
        "agents": list(outcomes.agents),
        "seeds": seeds,
        "note": NOTE,
        "verdicts": verdicts,
        "tables": [made for made in tables if made["rows"]],
        "plots": plots,
        "per_query": {
            "query_id": outcomes.queries.query_id.tolist(),
            "levels": {
                label: [
                    {"dial": level.dial}
                    | {key: np.round(getattr(level, key), 8).tolist() for key in _COLUMNS}
                    for level in distinct(some)
                ]
                for label, some in levels.items()
                if label in ours
            },
        },
    }


def distinct(levels: Sequence[Level]) -> list[Level]:
    """The settings without those that decide as the one before."""
    kept: list[Level] = []
    for level in levels:
        before = kept[-1] if kept else None
        if before is None or not (
            np.array_equal(before.score, level.score) and np.array_equal(before.cost, level.cost)
        ):
            kept.append(level)
    return kept


def overview(
    levels: Mapping[str, Sequence[Level]], fixed: Mapping[str, tuple[Floats, Floats, float]]
) -> dict[str, Any]:
    """Everybody with the dial at quality only."""
    rows: list[dict[str, Cell]] = []
    whole = fixed[EVERYBODY]
    every = {
        label: (some[0].score, some[0].cost, float(some[0].ran.mean())) for label, some in levels.items()
    }
    for label, (score, cost, ran) in {**every, **fixed}.items():
        rows.append(
            {
                "router": label,
                "accuracy": Figure.of(score),
                "$ / 1k": float(cost.mean() * 1000),
                "agents run": round(ran, 2),
                "accuracy - full ensemble": Figure.of(score - whole[0]) if label != EVERYBODY else "",
                "cost saved": f"{1 - cost.mean() / whole[1].mean():.1%}" if label != EVERYBODY else "",
            }
        )
    return table("Quality only, cross-fitted (replayed)", rows, signed=("accuracy - full ensemble",))


def against_subset(label: str, levels: Sequence[Level]) -> tuple[dict[str, Any], str]:
    """A router against the best fixed subset of equal or lower cost at every level; and the verdict."""
    differences = np.stack([level.score - level.subset_score for level in levels], 1)
    margin = simultaneous(differences)
    rows: list[dict[str, Cell]] = []
    for level, half in zip(levels, margin.tolist(), strict=True):
        gap = Figure.of(level.score - level.subset_score)
        rows.append(
            {
                "dial": level.dial,
                "$ / 1k": float(level.cost.mean() * 1000),
                "accuracy": Figure.of(level.score),
                "agents run": round(float(level.ran.mean()), 2),
                "subset $ / 1k": float(level.subset_cost.mean() * 1000),
                "subset accuracy": round(float(level.subset_score.mean()), 4),
                "subset size": round(float(level.subset_size.mean()), 2),
                "difference": gap,
                "at once": Figure(gap.mean, gap.mean - half, gap.mean + half, gap.n),
                "interval": gap.verdict,
            }
        )
    verdict = verdict_of(label, rows)
    title = f"{label} against the {SUBSET} (replayed)"
    return table(title, rows, note=verdict, signed=("difference", "at once")), verdict


def verdict_of(label: str, rows: Sequence[Mapping[str, Cell]]) -> str:
    """Says at which levels a router is above the best fixed subset, and at which below."""

    def dials(side: str, column: str) -> str:
        found = [f"{row['dial']:g}" for row in rows if getattr(row[column], "verdict", "") == side]
        return f"{len(found)}" + (f" ({', '.join(found)})" if found else "")

    return (
        f"{label}, {len(rows)} levels of cost: above the {SUBSET} beyond the interval "
        f"at {dials('above', 'difference')}, below at {dials('below', 'difference')}; for all levels at once "
        f"above at {dials('above', 'at once')}, below at {dials('below', 'at once')}."
    )


def simultaneous(differences: Floats, *, level: float = 0.95) -> Floats:
    """[m] half widths that hold for all m columns of [n, m] differences at once (max-t bootstrap)."""
    draws = metrics.bootstrap_means(differences)
    spread = draws.std(0)
    scaled = np.abs(draws - differences.mean(0)) / np.where(spread > 0, spread, np.inf)
    half: Floats = np.quantile(scaled.max(1), level) * spread
    return half


def against_rivals(levels: Mapping[str, Sequence[Level]], ours: Sequence[str]) -> dict[str, Any]:
    """Our whole curves against other routers' at equal cost.

    That of the fixed subsets is made of those that stand beside our own levels: each costs somewhat less than
    ours, a mix of ours as much.
    """
    curves = {label: Curve.of([_points(some)]) for label, some in levels.items()}
    rows: list[dict[str, Cell]] = []
    for label in ours:
        subsets = [Point(level.dial, level.subset_score, level.subset_cost) for level in levels[label]]
        mine = curves[label]
        for rival, theirs in {SUBSET: Curve.of([subsets]), **curves}.items():
            if rival not in ours and mine is not None and theirs is not None:
                item = {"ours": label, "rival": rival, **compare(mine, theirs)}
                rows.append(dict(zip(HEAD, comparison_cells(item), strict=True)))
    return table("Curves at equal cost (replayed)", rows, note=COMPARED)


def _points(levels: Sequence[Level]) -> list[Point]:
    return [Point(level.dial, level.score, level.cost) for level in levels]


def frontier(
    levels: Mapping[str, Sequence[Level]], fixed: Mapping[str, tuple[Floats, Floats, float]]
) -> dict[str, Any]:
    """Accuracy over cost."""
    series = {
        label: [(float(level.cost.mean() * 1000), Figure.of(level.score)) for level in distinct(some)]
        for label, some in levels.items()
    }
    if ours := levels.get(OURS[0].label):
        rival = [(float(lv.subset_cost.mean() * 1000), Figure.of(lv.subset_score)) for lv in distinct(ours)]
        series[SUBSET] = rival
    series |= {label: [(float(c.mean() * 1000), Figure.of(s))] for label, (s, c, _) in fixed.items()}
    series = {label: sorted(points, key=lambda point: point[0]) for label, points in series.items()}
    return plot(
        "Accuracy over cost (replayed)", "USD per 1,000 queries (logarithmic)", "accuracy", series
    ) | {"log_x": True}
