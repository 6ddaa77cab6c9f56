"""`Outcomes`: what agents scored on tasks, and what it cost; all that routers learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DataError
from agentnet.graphs.live import Step
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Message, Task
from agentnet.graphs.task_graph import TaskGraph

SPLITS = ("train", "val", "test")
OUT_OF_SCOPE = "oos"
"""A gold label that is no agent's name: only abstaining is right."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Queries:
    """n queries, column by column. Routers are only ever given `tasks`; the rest is the scorer's."""

    query_id: NDArray[np.str_]
    text: tuple[str, ...]
    split: NDArray[np.str_]
    context: tuple[str | None, ...] = ()
    history: tuple[tuple[Message, ...], ...] = ()
    task: tuple[str, ...] = ()
    """Task label of the source, for stratified splits and reports."""
    gold: tuple[str | None, ...] = ()
    metric: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.text)
        for name, empty in (
            ("context", None),
            ("history", ()),
            ("task", ""),
            ("gold", None),
            ("metric", ""),
        ):
            if not getattr(self, name) and n:
                object.__setattr__(self, name, (empty,) * n)
            if len(getattr(self, name)) != n:
                raise DataError(f"column {name!r} has {len(getattr(self, name))} rows, text has {n}.")
        if len(self.query_id) != n or len(self.split) != n:
            raise DataError("query_id, text and split must have the same number of rows.")
        if len(np.unique(self.query_id)) != n:
            raise DataError("query_id must be unique: a query stands twice.")
        unknown = sorted(set(self.split.tolist()) - set(SPLITS))
        if unknown:
            raise DataError(f"split must be one of {SPLITS}; got {unknown}.")

    def __len__(self) -> int:
        return len(self.text)

    def tasks(self) -> list[Task]:
        """Returns what a router may see: text, context and history, nothing else."""
        rows = zip(self.text, self.context, self.history, strict=True)
        return [Task(text, context=context, history=history) for text, context, history in rows]

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Queries:
        """Returns some of the rows, by index or mask."""
        index = np.flatnonzero(rows) if rows.dtype == bool else rows
        columns: dict[str, Any] = {"query_id": self.query_id[index], "split": self.split[index]}
        for name in ("text", "context", "history", "task", "gold", "metric"):
            column = getattr(self, name)
            columns[name] = tuple(column[i] for i in index)
        return Queries(**columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRun:
    """One logged run of a whole graph: what topology learners and path learners train from."""

    query_id: str
    graph: TaskGraph
    score: float | None
    """Quality in [0, 1] of the final answer; None not judged."""
    steps: tuple[Step, ...] = ()
    propensity: float | None = None
    cost_usd: float | None = None
    tokens: int | None = None
    latency_s: float | None = None
    router: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """Scores, costs and latencies of A agents on n queries.

    Attributes:
        queries: The n queries.
        pool: The A agents: the columns.
        score: [n, A] float32 in [0, 1]; NaN where the agent was not run or not judged.
        cost: [n, A] float64 USD per call; NaN unknown, never zero for unknown.
        latency_s: [n, A] float32 seconds; NaN unknown.
        propensity: [n, A] float32 probability with which the logging policy ran this agent on this query;
            NaN unknown. A full matrix that was run on purpose has 1.
        weight: [n, A] float32 how much a score counts (a judge counts less than a verifier).
        prompt_tokens: [n, A] float64; NaN unknown.
        completion_tokens: [n, A] float64; NaN unknown.
        response: [n, A] object array of text or None, or None where no text was recorded.
        runs: Runs of whole graphs on these queries, for learners of topologies.
        source: Where the rows come from, for reports.
        kind: ``"outcomes"`` for recorded scores, ``"label"`` where score is 1 for the gold agent.
    """

    queries: Queries
    pool: Pool
    score: NDArray[np.float32]
    cost: NDArray[np.float64]
    latency_s: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    propensity: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    weight: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    prompt_tokens: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    completion_tokens: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    response: NDArray[np.object_] | None = None
    runs: tuple[LoggedRun, ...] = ()
    source: str = ""
    kind: str = "outcomes"

    def __post_init__(self) -> None:
        shape = (len(self.queries), len(self.pool))
        optional = {
            "latency_s": np.nan,
            "propensity": np.nan,
            "weight": 1.0,
            "prompt_tokens": np.nan,
            "completion_tokens": np.nan,
        }
        for name, empty in optional.items():
            if getattr(self, name).size == 0 and shape != getattr(self, name).shape:
                dtype = getattr(self, name).dtype
                object.__setattr__(self, name, np.full(shape, empty, dtype))
        matrices = (
            "score",
            "cost",
            *optional,
            *(("response",) if self.response is not None else ()),
        )
        for name in matrices:
            if getattr(self, name).shape != shape:
                raise DataError(f"{name} has shape {getattr(self, name).shape}; {shape} is needed.")
        seen = self.score[~np.isnan(self.score)]
        if seen.size and (seen.min() < 0 or seen.max() > 1):
            raise DataError("scores must lie in [0, 1]: divide them by their maximum first.")
        if (self.cost < 0).any():
            raise DataError("costs must not be negative; use NaN (null) for unknown.")

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self.pool.names

    @property
    def observed(self) -> NDArray[np.bool_]:
        """[n, A] where a score is known."""
        return ~np.isnan(self.score)

    @property
    def full(self) -> bool:
        """Whether every agent has a score on every query."""
        return bool(self.observed.all())

    def tasks(self) -> list[Task]:
        """Returns the queries as a router may see them."""
        return self.queries.tasks()

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Outcomes:
        """Returns some of the rows, by index or mask."""
        index = np.flatnonzero(rows) if rows.dtype == bool else rows
        queries = self.queries.take(index)
        kept = set(queries.query_id.tolist())
        return self._with_matrices(
            lambda matrix: matrix[index],
            queries=queries,
            runs=tuple(run for run in self.runs if run.query_id in kept),
        )

    def split(self, *names: str) -> Outcomes:
        """Returns the rows of these splits; an unknown name is an error, an absent one gives none."""
        if wrong := sorted(set(names) - set(SPLITS)):
            raise DataError(f"splits are {SPLITS}; got {wrong}.")
        return self.take(np.isin(self.queries.split, names))

    def without_split(self, name: str) -> Outcomes:
        """Returns the rows of all other splits."""
        return self.take(self.queries.split != name)

    def with_split(self, split: NDArray[np.str_]) -> Outcomes:
        """Returns the same rows with other splits, for cross-fitting."""
        return replace(self, queries=replace(self.queries, split=split))

    def for_pool(self, pool: Pool) -> Outcomes:
        """Returns the columns of ``pool``, in its order; agents without outcomes get NaN."""
        where = {name: i for i, name in enumerate(self.agents)}
        source = np.array([where.get(name, -1) for name in pool.names])

        def columns(matrix: NDArray[Any]) -> NDArray[Any]:
            picked = matrix[:, source]
            if (source < 0).any():
                picked = picked.copy()
                picked[:, source < 0] = None if matrix.dtype == object else np.nan
            return picked

        return self._with_matrices(columns, pool=pool)

    def _with_matrices(self, change: Any, **fields: Any) -> Outcomes:
        names = (
            "score",
            "cost",
            "latency_s",
            "propensity",
            "weight",
            "prompt_tokens",
            "completion_tokens",
        )
        changed = {name: change(getattr(self, name)) for name in names}
        if self.response is not None:
            changed["response"] = change(self.response)
        return replace(self, **changed, **fields)

    @property
    def out_of_scope(self) -> NDArray[np.bool_]:
        """[n] where the gold label is no agent's name, so that only abstaining is right.

        Only rows of metric ``label`` can be out of scope; the answer depends on the pool.
        """
        names = set(self.agents)
        rows = zip(self.queries.metric, self.queries.gold, strict=True)
        return np.array([metric == "label" and gold not in names for metric, gold in rows], dtype=bool)

    @property
    def mean_score(self) -> NDArray[np.float64]:
        """[A] mean observed score per agent; NaN where there is none."""
        return _column_mean(self.score)

    @property
    def mean_cost(self) -> NDArray[np.float64]:
        """[A] mean known USD per call; NaN where there is none."""
        return _column_mean(self.cost)

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits of queries, agents, scores and costs."""
        digest = hashlib.sha256()
        for part in (*self.queries.query_id.tolist(), *self.agents, *self.queries.split.tolist()):
            digest.update(part.encode() + b"\0")
        digest.update(self.score.tobytes())
        digest.update(self.cost.tobytes())
        return digest.hexdigest()[:12]

    @classmethod
    def from_labels(
        cls, queries: Queries, pool: Pool, *, source: str = "", runs: tuple[LoggedRun, ...] = ()
    ) -> Outcomes:
        """Scores each agent 1 on the queries whose gold is its name, else 0; costs are unknown.

        >>> from agentnet.graphs.agent import Agent
        >>> queries = Queries(query_id=np.array(["1"]), text=("hi",), split=np.array(["test"]), gold=("b",),
        ...                   metric=("label",))
        >>> Outcomes.from_labels(queries, Pool([Agent(name="a"), Agent(name="b")])).score.tolist()
        [[0.0, 1.0]]
        """
        shape = (len(queries), len(pool))
        where = {name: j for j, name in enumerate(pool.names)}
        column = np.array([where.get(gold, -1) if gold is not None else -1 for gold in queries.gold], np.intp)
        score = np.zeros(shape, np.float32)
        rows = np.flatnonzero(column >= 0)
        score[rows, column[rows]] = 1
        return cls(
            queries=queries,
            pool=pool,
            score=score,
            cost=np.full(shape, np.nan),
            propensity=np.ones(shape, np.float32),
            runs=runs,
            source=source,
            kind="label",
        )

    @classmethod
    def from_rows(
        cls,
        queries: Queries,
        pool: Pool,
        rows: Iterable[Mapping[str, Any]],
        **fields: Any,
    ) -> Outcomes:
        """Builds the matrices from rows ``{query_id, agent, score, cost_usd, ...}``.

        Raises:
            DataError: a row names an unknown query or agent, or stands twice.
        """
        shape = (len(queries), len(pool))
        matrices: dict[str, NDArray[Any]] = {
            "score": np.full(shape, np.nan, np.float32),
            "cost": np.full(shape, np.nan, np.float64),
            "latency_s": np.full(shape, np.nan, np.float32),
            "propensity": np.full(shape, np.nan, np.float32),
            "weight": np.ones(shape, np.float32),
            "prompt_tokens": np.full(shape, np.nan),
            "completion_tokens": np.full(shape, np.nan),
        }
        response = np.full(shape, None, object)
        where = {query: i for i, query in enumerate(queries.query_id.tolist())}
        filled = np.zeros(shape, bool)
        keys: Sequence[tuple[str, str]] = [(k, "cost_usd" if k == "cost" else k) for k in matrices]
        for row in rows:
            query, agent = str(row.get("query_id")), str(row.get("agent"))
            if query not in where or agent not in pool:
                raise DataError(
                    f"an outcome names agent {agent!r} on query {query!r}, one of which is unknown."
                )
            i, j = where[query], pool.index(agent)
            if filled[i, j]:
                raise DataError(f"two outcomes of agent {row['agent']!r} on query {row['query_id']!r}.")
            filled[i, j] = True
            for name, key in keys:
                value = row.get(key)
                if value is not None:
                    matrices[name][i, j] = value
            response[i, j] = row.get("response")
        text = response if any(item is not None for item in response.flat) else None
        columns: dict[str, Any] = {**matrices, **fields}
        return cls(queries=queries, pool=pool, response=text, **columns)


def _column_mean(matrix: NDArray[Any]) -> NDArray[np.float64]:
    known = ~np.isnan(matrix)
    count = known.sum(0)
    total = np.where(known, matrix, 0).sum(0, dtype=np.float64)
    mean: NDArray[np.float64] = np.full(matrix.shape[1], np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean
