"""A label pack as the suite `intents` uses it: rows by split and scope, frozen vectors, rows to fit on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.protocol import Lab
from agentnet.errors import DataError
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.outcomes.packs import load_outcomes
from agentnet.outcomes.table import Outcomes, Queries

Vectors = NDArray[np.float32]
Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Labels:
    """A label pack.

    Attributes:
        name: Of the pack.
        outcomes: All its rows.
        gold: [n] column of the right agent; -1 where none is.
        vectors: [n, d] frozen encodings of the texts.
        described: [A, d] frozen encodings of the agents' descriptions.
    """

    name: str
    outcomes: Outcomes
    gold: Rows
    vectors: Vectors
    described: Vectors

    @property
    def names(self) -> tuple[str, ...]:
        """The agents."""
        return self.outcomes.agents

    @property
    def pool(self) -> Pool:
        """The agents."""
        return self.outcomes.pool

    def text(self, row: int) -> str:
        """The utterance of a row."""
        return self.outcomes.queries.text[row]

    def rows(self, *splits: str, inside: bool | None = None) -> Rows:
        """Returns the rows of some splits: all of them, those in scope, or those out of scope."""
        mask = np.isin(self.outcomes.queries.split, splits)
        if inside is not None:
            mask &= (self.gold >= 0) == inside
        return np.flatnonzero(mask)

    def tasks(self, rows: Rows) -> list[Task]:
        """What routers see of some rows."""
        return self.outcomes.queries.take(rows).tasks()

    def fit_rows(self, *, val: bool = True) -> Rows:
        """Rows to learn from: train with what is out of scope there, and val in scope.

        Val's rows out of scope are what abstention is judged on: nobody learns from them.
        """
        train = self.rows("train")
        return np.concatenate([train, self.rows("val", inside=True)]) if val else train

    def learnable(self, rows: Rows, columns: Sequence[int] | None = None) -> Outcomes:
        """Returns outcomes of some rows for ``Router.fit``.

        Args:
            rows: The rows; those whose right agent is left out go.
            columns: The agents that exist; None all.
        """
        if columns is None:
            return self.outcomes.take(rows)
        kept = np.isin(self.gold[rows], [*columns, -1])
        return self.outcomes.take(rows[kept]).for_pool(self.part(columns))

    def part(self, columns: Sequence[int]) -> Pool:
        """The pool of some of the agents."""
        return Pool(self.pool.agents[j] for j in columns)

    def examples(self, column: int, count: int, draw: int) -> Rows:
        """Returns ``count`` train rows of an agent; the draws of more hold those of fewer."""
        own = self.rows("train", inside=True)
        own = own[self.gold[own] == column]
        return np.random.default_rng([draw, column]).permutation(own)[:count]

    def with_examples(self, columns: Sequence[int], count: int, draw: int) -> Pool:
        """Returns the whole pool, some of its agents with train utterances as their examples."""
        wanted = set(columns)

        def agent(j: int, agent: Agent) -> Agent:
            if j not in wanted:
                return agent
            texts = tuple(self.text(i) for i in self.examples(j, count, draw))
            return agent.with_(examples=texts)

        return Pool(agent(j, item) for j, item in enumerate(self.pool))


def label_folders(data: Sequence[str]) -> list[Path]:
    """Returns the folders of label packs: each given one, or those in it.

    Raises:
        DataError: a folder holds none.
    """
    found: list[Path] = []
    for item in data:
        root = Path(item)
        own = [root] if (root / "queries.parquet").is_file() else []
        inner = own or sorted(path.parent for path in root.glob("*/queries.parquet"))
        if not inner:
            raise DataError(f"{root} holds no data pack (a folder with queries.parquet and agents.json).")
        found += inner
    return found


def load_labels(folder: Path, lab: Lab) -> Labels:
    """Loads a label pack and encodes its texts.

    Raises:
        DataError: it holds recorded outcomes, or a split has no rows in scope.
    """
    outcomes = load_outcomes(folder)
    if outcomes.kind != "label":
        raise DataError(f"{folder} holds outcomes, not labels; suite 'routing' is for such packs.")
    where = {name: j for j, name in enumerate(outcomes.agents)}
    gold = np.array([where.get(name or "", -1) for name in outcomes.queries.gold], np.intp)
    for split in ("train", "val", "test"):
        if not ((outcomes.queries.split == split) & (gold >= 0)).any():
            raise DataError(f"{folder} has no rows in scope in split {split!r}; the suite needs all three.")
    lab.encode(outcomes)
    vectors = lab.encoder.encode(outcomes.queries.text)
    described = lab.encoder.encode([agent.description or agent.name for agent in outcomes.pool])
    return Labels(folder.resolve().name, outcomes, gold, vectors, described)


def joined_packs(packs: Sequence[Labels]) -> Outcomes:
    """Returns the train and val rows in scope of several packs over one pool.

    An agent whose name another pack has too gets its pack's name behind its own.

    Raises:
        DataError: there are no packs.
    """
    if not packs:
        raise DataError("there is no other pack to learn from.")
    counts = Counter(name for pack in packs for name in pack.names)
    agents: list[Agent] = []
    columns: dict[str, list[str]] = {"query_id": [], "text": [], "split": [], "gold": []}
    for pack in packs:
        called = {name: name if counts[name] == 1 else f"{name} ({pack.name})" for name in pack.names}
        agents += [agent.with_(name=called[agent.name]) for agent in pack.pool]
        queries = pack.outcomes.queries.take(pack.rows("train", "val", inside=True))
        columns["query_id"] += [f"{pack.name}/{name}" for name in queries.query_id.tolist()]
        columns["text"] += queries.text
        columns["split"] += queries.split.tolist()
        columns["gold"] += [called[name or ""] for name in queries.gold]
    made = Queries(
        query_id=np.array(columns["query_id"]),
        text=tuple(columns["text"]),
        split=np.array(columns["split"]),
        gold=tuple(columns["gold"]),
        metric=("label",) * len(columns["text"]),
    )
    return Outcomes.from_labels(made, Pool(agents), source="+".join(pack.name for pack in packs))


def as_train(outcomes: Outcomes) -> Outcomes:
    """Returns the same rows, all of split train."""
    split = np.full(len(outcomes), "train", outcomes.queries.split.dtype)
    return replace(outcomes, queries=replace(outcomes.queries, split=split))
