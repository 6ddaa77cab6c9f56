"""Cross-fits routers on recorded multi-hop answers: every decision scored by F1 and by exact match."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench import metrics
from agentnet.bench.kgqa.tables import Tables
from agentnet.bench.protocol import FOLDS, Entry, Lab, seeds_for
from agentnet.bench.scoring import ScoredQuery, Scorer
from agentnet.graphs import builders
from agentnet.graphs.knowledge import GraphCache
from agentnet.outcomes.splits import cross_fit
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import RouteOptions, Router
from agentnet.routers.decision import Decision
from agentnet.routers.registry import make_router

RIVALS = ("best_single", "vote", "majority of all", "knn")
"""Labels against which every line is compared, query by query."""
MAJORITY = "majority of all"
Floats = NDArray[np.float64]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """What one way to choose came to on all questions, each from the fold in which it was test.

    Attributes:
        label: Its name in tables.
        router: The router's name; empty for what needs no router.
        settings: The router's.
        f1: [seeds, n] token F1.
        em: [seeds, n] exact match.
        tokens: [seeds, n] tokens read and written by the agents that ran; NaN unknown.
        rows: [n] under the first seed, how each question was answered.
    """

    label: str
    router: str
    settings: Mapping[str, Any]
    f1: Floats
    em: Floats
    tokens: Floats
    rows: Sequence[ScoredQuery]


def measure(lab: Lab, tables: Tables, entry: Entry, seeds: int, *, graphs: GraphCache | None = None) -> Line:
    """Fits a router on four fifths of the questions and scores it on the last, five times.

    All selection is inside the fold. Routers learn from F1 alone; exact match judges the same decisions.

    Args:
        lab: Has the encoder, and is told what is being done.
        tables: The recorded answers.
        entry: The router with its settings.
        seeds: Seeds of a randomised router.
        graphs: Knowledge graphs that routers share which read them; None lets each make its own.
    """
    folds = list(cross_fit(tables.f1, FOLDS, 0))
    scored: list[list[ScoredQuery]] = []
    exact: list[list[ScoredQuery]] = []
    for seed in seeds_for(entry, seeds):
        found: dict[str, tuple[ScoredQuery, ScoredQuery]] = {}
        for number, fold in enumerate(folds):
            lab.progress(f"{entry.label}, seed {seed}, fold {number + 1} of {len(folds)}")
            router = _fitted(lab, entry, fold, seed, graphs)
            test = fold.queries.split == "test"
            rows = tables.f1.take(test)
            options = RouteOptions(cost_weight=0.0, rng=np.random.default_rng(seed))
            tasks = rows.tasks()
            decisions = router.route_batch(tasks, rows.pool, options=options, vectors=router.encode(tasks))
            both = zip(
                Scorer(rows).score(decisions), Scorer(tables.em.take(test)).score(decisions), strict=True
            )
            found |= {one.query_id: (one, other) for one, other in both}
        ids = tables.f1.queries.query_id.tolist()
        scored.append([found[query_id][0] for query_id in ids])
        exact.append([found[query_id][1] for query_id in ids])
    return _joined(tables, entry.label, entry.router, entry.settings or {}, scored, exact)


def _fitted(lab: Lab, entry: Entry, fold: Outcomes, seed: int, graphs: GraphCache | None) -> Router:
    router = make_router(entry.router, **(entry.settings or {}))
    router.use_encoder(lab.encoder)
    if graphs is not None and hasattr(router, "use_graphs"):
        router.use_graphs(graphs)
    router.fit(fold, fold.pool, seed=seed)
    return router


def fixed_lines(tables: Tables) -> list[Line]:
    """Returns a line per agent, and one for the unweighted vote of all: what needs no learning."""
    names = tables.f1.agents
    graphs = {name: builders.vote([name]) for name in names} | {MAJORITY: builders.vote(list(names))}
    lines = []
    for label, graph in graphs.items():
        unknown = [float("nan")] * len(names)
        decision = Decision(
            graph=graph, candidates=names, raw=unknown, calibrated=unknown, cost=unknown, propensity=1.0,
            router=label, version="",
        )  # fmt: skip
        decisions = [decision] * len(tables)
        scored, exact = Scorer(tables.f1).score(decisions), Scorer(tables.em).score(decisions)
        lines.append(_joined(tables, label, "", {}, [scored], [exact]))
    return lines


def _joined(
    tables: Tables,
    label: str,
    router: str,
    settings: Mapping[str, Any],
    scored: Sequence[Sequence[ScoredQuery]],
    exact: Sequence[Sequence[ScoredQuery]],
) -> Line:
    used = tables.f1.prompt_tokens + tables.f1.completion_tokens
    column = {name: j for j, name in enumerate(tables.f1.agents)}
    tokens = [
        [sum(used[i, column[name]] for name in row.agents) for i, row in enumerate(rows)] for rows in scored
    ]
    return Line(
        label=label,
        router=router,
        settings=dict(settings),
        f1=np.array([[row.score for row in rows] for rows in scored]),
        em=np.array([[row.score for row in rows] for rows in exact]),
        tokens=np.array(tokens, np.float64),
        rows=scored[0],
    )


def table(lines: Sequence[Line], tables: Tables) -> list[dict[str, Any]]:
    """Returns a row per line: means with bootstrap intervals, and paired differences to the rivals.

    Intervals are over questions, of the mean over seeds.
    """
    rivals = {line.label: line for line in lines if line.label in RIVALS}
    return [row(line, rivals, tables) for line in lines]


def row(line: Line, rivals: Mapping[str, Line], tables: Tables) -> dict[str, Any]:
    """Returns one line of the table; see `table`."""
    found: dict[str, Any] = {
        "label": line.label,
        "router": line.router,
        "settings": dict(line.settings),
        "seeds": len(line.f1),
        "f1_sd_over_seeds": float(line.f1.mean(1).std()),
        "tokens": float(np.nanmean(line.tokens)) if not np.isnan(line.tokens).all() else None,
        "agents_per_question": float(np.mean([len(item.agents) for item in line.rows])),
        "selection": metrics.shares(name for item in line.rows for name in item.agents),
        "replay": sorted({item.replay for item in line.rows}),
        "versus": {},
    }
    labels = np.array(tables.f1.queries.task)
    for name in ("f1", "em"):
        mean: Floats = getattr(line, name).mean(0)
        found[name] = float(mean.mean())
        found[f"{name}_ci"] = list(metrics.bootstrap_ci(mean))
        found[f"{name}_by_dataset"] = {
            str(label): float(mean[labels == label].mean()) for label in np.unique(labels)
        }
        for rival, other in rivals.items():
            if rival != line.label and line.router != "oracle":
                gain = mean - getattr(other, name).mean(0)
                found["versus"].setdefault(rival, {})[name] = {
                    "gain": float(gain.mean()),
                    "gain_ci": list(metrics.bootstrap_ci(gain)),
                }
    return found


def per_query(line: Line, tables: Tables) -> list[dict[str, Any]]:
    """Returns, per question, which agents ran under the first seed, whose answer stood, and its scores."""
    column = {name: j for j, name in enumerate(tables.f1.agents)}
    response = tables.f1.response
    assert response is not None
    return [
        {
            "query_id": item.query_id,
            "agents": list(item.agents),
            "weights": list(item.weights),
            "answer_from": item.answer_from,
            "answer": "" if item.answer_from is None else response[i, column[item.answer_from]],
            "f1": float(line.f1[0, i]),
            "em": float(line.em[0, i]),
        }
        for i, item in enumerate(line.rows)
    ]
