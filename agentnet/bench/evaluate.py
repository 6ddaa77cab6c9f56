"""Evaluates a router on recorded outcomes: one protocol for the command line and every suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench import metrics
from agentnet.bench.labels import label_metrics
from agentnet.bench.latency import time_routes
from agentnet.bench.scoring import ScoredQuery, Scorer, worst_replay
from agentnet.errors import DataError
from agentnet.graphs.pool import Pool
from agentnet.outcomes.encoders import Encoder
from agentnet.outcomes.table import SPLITS, Outcomes
from agentnet.routers.base import RouteOptions, Router

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BestSingle:
    """The agent with the best mean score in training, among the evaluated pool, on the evaluated rows.

    Attributes:
        agent: Its name.
        scores: [n] its scores.
        costs: [n] its USD; NaN unknown.
    """

    agent: str
    scores: NDArray[np.float64]
    costs: NDArray[np.float64]

    @property
    def score(self) -> float:
        """Mean score."""
        return float(self.scores.mean())

    @property
    def cost_usd(self) -> float | None:
        """Mean USD; None when any is unknown."""
        return None if np.isnan(self.costs).any() else float(self.costs.mean())

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values."""
        return {"agent": self.agent, "score": self.score, "cost_usd": self.cost_usd}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """One router on one set of rows.

    Attributes:
        rows: One scored decision per query.
        scores: [n] score per query.
        costs: [n] USD per query; NaN unknown.
        best_single: The reference agent; None when training knew none of the pool.
        oracle: Mean of the best agent's score per query.
        latency_ms: p50 and p99 of one decision with encoding; empty if not timed.
        latency_encoded_ms: The same with the text encoded already.
        label: Further figures of label packs.
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

    @property
    def selection(self) -> dict[str, float]:
        """Share of each agent among all runs of agents, most run first; the shares add up to 1."""
        return metrics.shares(name for row in self.rows for name in row.agents)

    @property
    def entropy(self) -> float:
        """Entropy of `selection` in bits: 0 when one agent does everything."""
        return metrics.entropy(self.selection.values())

    def to_dict(self, *, command: str = "", per_query: bool = True) -> dict[str, Any]:
        """Returns the JSON that ``agentnet evaluate --json`` writes; it holds no NaN."""
        best = self.best_single
        data: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "router": self.router,
            "router_version": self.router_version,
            "command": command,
            "seed": self.seed,
            "split": self.split,
            "cost_weight": self.cost_weight,
            "n": len(self.rows),
            "score": self.score,
            "score_ci": list(metrics.bootstrap_ci(self.scores)),
            "cost_usd": self.cost_usd,
            "best_single": best.to_dict() if best else None,
            "oracle": self.oracle,
            "gap_closed": metrics.gap_closed(self.score, best.score, self.oracle) if best else None,
            "gain_ci": list(metrics.bootstrap_ci(self.scores - best.scores)) if best else None,
            "selection": self.selection,
            "entropy": self.entropy,
            "calibration_error": metrics.calibration_error([r.predicted for r in self.rows], self.scores),
            "latency_ms": self.latency_ms or None,
            "latency_encoded_ms": self.latency_encoded_ms or None,
            "replay": worst_replay(self.rows),
            "abstained": sum(row.abstained for row in self.rows) / len(self.rows),
            **(self.label or {}),
        }
        if per_query:
            data["per_query"] = [query_row(row) for row in self.rows]
        return data


def query_row(row: ScoredQuery) -> dict[str, Any]:
    """Returns a scored query as JSON values."""
    return {
        "query_id": row.query_id,
        "agents": list(row.agents),
        "weights": list(row.weights),
        "stopped_after": row.stopped_after,
        "answer_from": row.answer_from,
        "abstained": row.abstained,
        "score": row.score,
        "cost_usd": row.cost_usd,
        "chosen": list(row.chosen),
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
    reference: Mapping[str, float] | None = None,
    time_decisions: bool = True,
    uncached: Encoder | None = None,
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
        reference: Mean training scores by which the best single agent is named; default the router's own.
        time_decisions: Whether to time single ``route`` calls.
        uncached: Encoder for these, where the router's own remembers texts (see `time_routes`).

    Raises:
        DataError: there are no rows, an agent has no outcomes, or a probe's query is evaluated.
        RouterError: the router takes no probes.
    """
    rows = evaluated_rows(outcomes, split, pool)
    if probes is not None:
        router = _with_probes(router, probes, rows)
    options = options or router.options
    if options.rng is None:
        options = replace(options, rng=np.random.default_rng(seed))
    scorer = Scorer(rows, fallback=fallback)
    tasks = rows.tasks()
    vectors = router.encode(tasks)
    scored = scorer.score(router.route_batch(tasks, rows.pool, options=options, vectors=vectors))
    with_text: dict[str, float] = {}
    encoded: dict[str, float] = {}
    if time_decisions:
        with_text, encoded = time_routes(
            router, tasks, rows.pool, options=options, vectors=vectors, encoder=uncached
        )
    if reference is None:
        reference = router.training.mean_score if router.training else {}
    return Evaluation(
        router=router.name,
        router_version=router.version,
        seed=seed,
        split=split,
        cost_weight=options.cost_weight,
        rows=scored,
        scores=np.array([row.score for row in scored]),
        costs=np.array([np.nan if row.cost_usd is None else row.cost_usd for row in scored]),
        best_single=best_single(reference, rows),
        oracle=oracle_score(rows),
        latency_ms=with_text,
        latency_encoded_ms=encoded,
        label=label_metrics(scored, rows) if rows.kind == "label" else None,
    )


def evaluated_rows(outcomes: Outcomes, split: str, pool: Pool | None = None) -> Outcomes:
    """Returns the rows of a split with the pool's agents as columns.

    Raises:
        DataError: there is no such split, it is empty, or an agent has no outcome on its rows.
    """
    if split not in (*SPLITS, "all"):
        raise DataError(f"no split {split!r}; there are {', '.join(SPLITS)} and all.")
    rows = outcomes if split == "all" else outcomes.split(split)
    if not len(rows):
        raise DataError(f"the pack has no rows in split {split!r}; try --split all.")
    pool = pool or rows.pool
    if rows.kind == "label":
        return Outcomes.from_labels(rows.queries, pool, source=rows.source)
    rows = rows.for_pool(pool)
    observed: list[bool] = np.asarray(rows.observed.any(axis=0)).tolist()
    missing = [name for name, seen in zip(rows.agents, observed, strict=True) if not seen]
    if missing:
        raise DataError(
            f"the pack has no outcomes of {', '.join(missing)} on the evaluated queries; it can be evaluated "
            f"with {', '.join(name for name in outcomes.agents if name not in missing)}."
        )
    return rows


def _with_probes(router: Router, probes: Outcomes, rows: Outcomes) -> Router:
    """The router with the outcomes of the evaluated pool's agents among the probes."""
    seen = set(rows.queries.query_id.tolist()) & set(probes.queries.query_id.tolist())
    if seen:
        raise DataError(
            f"{len(seen)} probe queries are in the evaluated split (such as {min(seen)}): probes must be "
            "outcomes on other queries."
        )
    shared = [agent for agent in rows.pool if agent.name in probes.pool]
    if not shared:
        raise DataError(
            f"the probes hold no agent of the evaluated pool; they hold {', '.join(probes.agents)}."
        )
    if probes.kind == "label":
        # A query of an agent that is not in the pool is not out of scope: it says nothing here.
        away = set(probes.agents) - set(rows.agents)
        probes = probes.take(np.array([gold not in away for gold in probes.queries.gold], bool))
        if not len(probes):
            raise DataError("no probe query is for an agent of the evaluated pool.")
    return router.with_probes(probes.for_pool(Pool(shared)))


def best_single(reference: Mapping[str, float], rows: Outcomes) -> BestSingle | None:
    """Returns the agent that a user would have taken from the training data alone; ties go by name.

    None where the reference knows no agent of the pool, or the agent was not run on every row.
    """
    means = {name: mean for name, mean in reference.items() if name in rows.pool}
    if not means:
        return None
    name = min(means, key=lambda agent: (-means[agent], agent))
    column = rows.pool.index(name)
    scores = rows.score[:, column].astype(np.float64)
    if np.isnan(scores).any():
        return None
    return BestSingle(agent=name, scores=scores, costs=rows.cost[:, column].astype(np.float64))


def oracle_score(rows: Outcomes) -> float:
    """Returns the mean best recorded score; a row out of scope is right by abstaining."""
    best = np.nan_to_num(rows.score).max(1)
    return float(np.where(rows.out_of_scope, 1.0, best).mean())
