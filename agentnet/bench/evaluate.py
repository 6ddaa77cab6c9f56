"""Evaluates a router on recorded outcomes: one protocol for the command line and every suite."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench import metrics
from agentnet.bench.scoring import ScoredQuery, Scorer, worst_replay
from agentnet.errors import DataError
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import RouteOptions, Router
from agentnet.routers.decision import Decision

SCHEMA_VERSION = 1
LATENCY_SAMPLE = 200
"""Single ``route`` calls that are timed, spread over the evaluated rows."""


@dataclass(frozen=True, slots=True)
class BestSingle:
    """The agent with the best mean score in the router's training data, among the evaluated pool."""

    agent: str
    score: float
    cost_usd: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """One router on one set of rows.

    Attributes:
        rows: One scored decision per query.
        scores: [n] score per query.
        costs: [n] USD per query; NaN unknown.
        best_single: The reference agent; None when the training data had none of the pool.
        best_single_scores: [n] its scores, for paired comparisons.
        oracle: Mean of the best agent's score per query.
    """

    router: str
    router_version: str
    seed: int
    split: str
    cost_weight: float
    rows: Sequence[ScoredQuery]
    scores: NDArray[np.float64]
    costs: NDArray[np.float64]
    best_single: BestSingle | None
    best_single_scores: NDArray[np.float64] | None
    oracle: float
    latency_ms: dict[str, float]
    latency_encoded_ms: dict[str, float]
    label: dict[str, float | None] | None = None

    @property
    def score(self) -> float:
        """Mean score per query."""
        return float(self.scores.mean())

    @property
    def cost_usd(self) -> float | None:
        """Mean USD per query; None when any is unknown."""
        return None if np.isnan(self.costs).any() else float(self.costs.mean())

    def to_dict(self, *, command: str = "", per_query: bool = True) -> dict[str, Any]:
        """Returns the JSON that ``agentnet evaluate --json`` writes."""
        selection = metrics.shares("+".join(row.agents) or "(abstained)" for row in self.rows)
        shares = metrics.shares(name for row in self.rows for name in row.agents)
        counts = len(self.rows)
        runs = {
            name: share * sum(len(r.agents) for r in self.rows) / counts for name, share in shares.items()
        }
        best = self.best_single
        data: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "router": self.router,
            "router_version": self.router_version,
            "command": command,
            "seed": self.seed,
            "split": self.split,
            "cost_weight": self.cost_weight,
            "n": counts,
            "score": self.score,
            "score_ci": list(metrics.bootstrap_ci(self.scores)),
            "cost_usd": self.cost_usd,
            "best_single": best and {"agent": best.agent, "score": best.score, "cost_usd": best.cost_usd},
            "oracle": self.oracle,
            "gap_closed": best and metrics.gap_closed(self.score, best.score, self.oracle),
            "selection": runs,
            "entropy": metrics.entropy(selection.values()),
            "calibration_error": metrics.calibration_error([r.predicted for r in self.rows], self.scores),
            "latency_ms": self.latency_ms,
            "latency_encoded_ms": self.latency_encoded_ms,
            "replay": worst_replay(self.rows),
            "abstained": sum(row.abstained for row in self.rows) / counts,
        }
        if self.best_single_scores is not None:
            data["paired_gain_ci"] = list(metrics.bootstrap_ci(self.scores - self.best_single_scores))
        data |= self.label or {}
        if per_query:
            data["per_query"] = [_row(row) for row in self.rows]
        return data


def _row(row: ScoredQuery) -> dict[str, Any]:
    return {
        "query_id": row.query_id,
        "agents": list(row.agents),
        "weights": list(row.weights),
        "stopped_after": row.stopped_after,
        "answer_from": row.answer_from,
        "abstained": row.abstained,
        "score": row.score,
        "cost_usd": row.cost_usd,
    }


def evaluate(
    router: Router,
    outcomes: Outcomes,
    *,
    pool: Pool | None = None,
    split: str = "test",
    probes: Outcomes | None = None,
    options: RouteOptions | None = None,
    fallback: str | None = None,
    seed: int = 0,
    time_routes: bool = True,
) -> Evaluation:
    """Lets a router decide on recorded queries and scores what it chose.

    The router sees text, context and history only; everything else reaches the scorer alone.

    Args:
        router: A fitted router.
        outcomes: The pack; the rows of ``split`` are evaluated.
        pool: Agents to choose from; default the pack's.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        probes: Outcomes of the pool's agents on other queries, given to the router beforehand.
        options: The quality-cost dial, abstention threshold and source of randomness.
        fallback: Agent that answers when the router abstains.
        seed: Seed of the generator given to sampling routers, where ``options`` has none.
        time_routes: Whether to time single ``route`` calls.

    Raises:
        DataError: there are no rows, an agent has no outcomes, or a probe's query is evaluated.
    """
    rows = outcomes if split == "all" else outcomes.split(split)
    if not len(rows):
        raise DataError(f"the pack has no rows in split {split!r}; try --split all.")
    pool = pool or rows.pool
    rows = _columns(rows, pool)
    if probes is not None:
        router = _with_probes(router, probes, rows, pool)
    options = options or router.options
    if options.rng is None:
        options = replace(options, rng=np.random.default_rng(seed))
    tasks = rows.tasks()
    vectors = router.encode(tasks)
    decisions = router.route_batch(tasks, pool, options=options, vectors=vectors)
    scored = Scorer(rows, fallback=fallback).score(decisions)
    best, best_scores = _best_single(router, rows)
    with_text, encoded = _time(router, tasks, pool, options, vectors) if time_routes else ({}, {})
    return Evaluation(
        router=router.name,
        router_version=router.version,
        seed=seed,
        split=split,
        cost_weight=options.cost_weight,
        rows=scored,
        scores=np.array([row.score for row in scored]),
        costs=np.array([np.nan if row.cost_usd is None else row.cost_usd for row in scored]),
        best_single=best,
        best_single_scores=best_scores,
        oracle=_oracle(rows),
        latency_ms=with_text,
        latency_encoded_ms=encoded,
        label=_label_metrics(decisions, scored, rows) if rows.kind == "label" else None,
    )


def _columns(rows: Outcomes, pool: Pool) -> Outcomes:
    if rows.kind == "label":
        return Outcomes.from_labels(rows.queries, pool, source=rows.source)
    missing = [name for name in pool.names if name not in rows.agents]
    if missing:
        raise DataError(
            f"the pack has no outcomes of {', '.join(missing)}; evaluate a pool of {', '.join(rows.agents)}."
        )
    return rows.for_pool(pool)


def _with_probes(router: Router, probes: Outcomes, rows: Outcomes, pool: Pool) -> Router:
    seen = set(rows.queries.query_id.tolist()) & set(probes.queries.query_id.tolist())
    if seen:
        raise DataError(
            f"{len(seen)} probe queries are in the evaluated split (such as {min(seen)}): probes must be "
            "outcomes on other queries."
        )
    return router.with_probes(
        _columns(probes, Pool(a for a in pool if a.name in probes.agents))
        if probes.kind != "label"
        else probes
    )


def _best_single(router: Router, rows: Outcomes) -> tuple[BestSingle | None, NDArray[np.float64] | None]:
    """The agent that a user would have taken from the training data alone."""
    means = {name: mean for name, mean in router.train_means().items() if name in rows.pool}
    if not means:
        return None, None
    name = max(means, key=lambda agent: means[agent])
    column = rows.pool.index(name)
    scores = np.nan_to_num(rows.score[:, column].astype(np.float64))
    cost = float(rows.cost[:, column].mean())
    return BestSingle(name, float(scores.mean()), None if np.isnan(cost) else cost), scores


def _oracle(rows: Outcomes) -> float:
    """Mean best score; on label packs a row out of scope is right by abstaining."""
    best = np.nan_to_num(rows.score).max(1)
    return float(np.where(rows.out_of_scope, 1.0, best).mean())


def _time(
    router: Router,
    tasks: Sequence[Task],
    pool: Pool,
    options: RouteOptions,
    vectors: NDArray[np.float32] | None,
) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds of single decisions, with encoding and with the text already encoded."""
    step = max(1, len(tasks) // LATENCY_SAMPLE)
    full, encoded = [], []
    for i in range(0, len(tasks), step):
        # A text that was just encoded may sit in the encoder's cache: ask about one never seen before.
        fresh = replace(tasks[i], text=f"{tasks[i].text} ")
        start = time.perf_counter()
        router.route(fresh, pool, options=options)
        full.append(time.perf_counter() - start)
        start = time.perf_counter()
        router.route_batch(
            [tasks[i]], pool, options=options, vectors=None if vectors is None else vectors[i : i + 1]
        )
        encoded.append(time.perf_counter() - start)
    return _percentiles(full), _percentiles(encoded)


def _percentiles(seconds: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(np.array(seconds) * 1000, [50, 99])
    return {"p50": round(float(p50), 4), "p99": round(float(p99), 4)}


def _label_metrics(
    decisions: Sequence[Decision], scored: Sequence[ScoredQuery], rows: Outcomes
) -> dict[str, float | None]:
    """Hit rate, exact set, set size and out-of-scope figures of packs whose gold is an agent's name."""
    oos = rows.out_of_scope
    gold = rows.queries.gold
    chosen = [set() if d.abstained else set(d.agents) for d in decisions]
    inside = np.flatnonzero(~oos)
    abstained = np.array([row.abstained for row in scored])
    hits = np.array([gold[i] in chosen[i] for i in inside])
    exact = np.array([chosen[i] == {gold[i]} for i in inside])
    sizes = np.array([len(c) for c in chosen if c])
    return {
        "hit": float(hits.mean()) if inside.size else None,
        "exact_set": float(exact.mean()) if inside.size else None,
        "set_size": float(sizes.mean()) if sizes.size else None,
        "oos_recall": float(abstained[oos].mean()) if oos.any() else None,
        "false_alarms": float(abstained[~oos].mean()) if inside.size else None,
    }
