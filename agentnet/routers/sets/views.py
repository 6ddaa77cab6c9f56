"""`PoolView`: what was learned of narrow agents for one pool, ready to score; `Views` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.routers.encoding import Vectors
from agentnet.routers.sets.index import CANDIDATES, LARGE, Group, NearIndex, Shortlist, index_available
from agentnet.routers.sets.linear import Columns, Prediction, chances, likeliest
from agentnet.routers.sets.model import Encode, SetModel, described

_COLUMNS = 20_000
"""Agents that are remembered, in pools of fewer."""


@dataclass(frozen=True, slots=True, eq=False)
class PoolView:
    """A model for one pool of P agents.

    Attributes:
        names: The P agents.
        known: [P] whether the agent has logged queries.
        temperature: As in the model.
        columns: The agents in the pool's order; a large pool has a shortlist instead.
    """

    names: tuple[str, ...]
    known: NDArray[np.bool_]
    temperature: float
    columns: Columns | Shortlist

    @property
    def whole(self) -> bool:
        """Whether every agent is looked at; else only those of probability above 0 were."""
        return isinstance(self.columns, Columns)

    def candidates(
        self, shares: NDArray[np.floating[Any]], chosen: Sequence[str]
    ) -> tuple[tuple[str, ...], slice | list[int]]:
        """Returns names and positions of the agents that a decision names.

        All of them; of a large pool the likeliest, for the others were not looked at.

        Args:
            shares: [P] probabilities.
            chosen: Agents that are named in any case.
        """
        if self.whole:
            return self.names, slice(None)
        at = likeliest(shares, self.names, CANDIDATES)
        there = {self.names[i] for i in at}
        at += [self.names.index(name) for name in chosen if name not in there]
        return tuple([self.names[i] for i in at]), at

    def predict(self, vectors: Vectors) -> Prediction:
        """Predicts for n queries."""
        if isinstance(self.columns, Shortlist):
            return self.columns.predict(vectors, self.temperature)
        logits = self.columns.logits(vectors)
        return Prediction(logits, *chances(logits, self.temperature))

    def chances(self, vectors: Vectors) -> NDArray[np.float32]:
        """Returns [n, P] probabilities, given that one of the agents fits."""
        return self.predict(vectors).chances


class Views:
    """Makes views of pools, keeping the column of every agent it has met: adding one costs one encoding.

    It is not safe for several threads; the views it makes are.
    """

    def __init__(self, model: SetModel, encode: Encode, *, large: int = LARGE) -> None:
        """Takes a model.

        Args:
            model: What was learned.
            encode: Encodes profiles and examples, with the encoder the model was learned with.
            large: Agents without logged queries, of one rule, from which on a pool is indexed, where
                ``usearch`` is installed.
        """
        self._model, self._encode, self._large = model, encode, large
        self._known = {name: row for row, name in enumerate(model.columns.names)}
        self._weight = np.ascontiguousarray(model.columns.weight.T)
        self._bias = model.columns.bias
        self._forget()

    def _forget(self) -> None:
        """Keeps the agents with logged queries only."""
        self._size = len(self._known)
        self._rule = np.full(self._size, -1, np.intp)
        self._strangers: dict[tuple[str, ...], int] = {}
        self._met: dict[int, tuple[Agent, int]] = {}
        self._indexes: dict[int, NearIndex] = {}

    def of(self, pool: Pool) -> PoolView:
        """Returns the view of a pool."""
        if self._size - len(self._known) > max(_COLUMNS, 2 * len(pool)):
            self._keep(pool)
        rows = self._rows(pool)
        known = rows < len(self._known)
        groups = self._groups(rows)
        columns: Columns | Shortlist
        if groups:
            columns = Shortlist.of(self._weight, self._bias, rows, groups)
        else:
            columns = Columns(pool.names, self._weight[rows].T, self._bias[rows])
        return PoolView(pool.names, known, self._model.temperature, columns)

    def _keep(self, pool: Pool) -> None:
        """Forgets agents that are not in this pool; views of other pools keep what they hold."""
        kept = [(key, self._strangers[key]) for key in map(self._key, pool) if key in self._strangers]
        weight, bias, rule = self._weight, self._bias, self._rule
        self._weight, self._bias = weight[: len(self._known)].copy(), bias[: len(self._known)].copy()
        self._forget()
        at = [row for _, row in kept]
        self._append(weight[at], bias[at], rule[at])
        self._strangers = {key: len(self._known) + i for i, (key, _) in enumerate(kept)}

    def _rows(self, pool: Pool) -> NDArray[np.intp]:
        """[P] row of each agent; those not met before are encoded, all their texts at once."""
        # Pools share agents: the same object was looked up before. It is kept, so that its id stays its own.
        new = [agent for agent in pool if id(agent) not in self._met]
        if new:
            self._meet([agent for agent in new if agent.name not in self._known])
            for agent in new:
                row = self._known.get(agent.name)
                self._met[id(agent)] = (agent, self._strangers[self._key(agent)] if row is None else row)
        found = np.array([self._met[id(agent)][1] for agent in pool], np.intp)
        if len(self._met) > max(_COLUMNS, 2 * len(pool)):
            self._met = {id(agent): self._met[id(agent)] for agent in pool}
        return found

    def _examples(self, agent: Agent) -> tuple[str, ...]:
        return (*agent.examples, *self._model.probes.get(agent.name, ()))

    def _key(self, agent: Agent) -> tuple[str, ...]:
        # By name too: two agents that say the same of themselves are still two rows.
        return (agent.name, described(agent), *self._examples(agent))

    def _meet(self, agents: Sequence[Agent]) -> None:
        """Makes the columns of agents not met before."""
        new = {key: None for agent in agents if (key := self._key(agent)) not in self._strangers}
        if not new:
            return
        vectors = self._encode([text for key in new for text in key[1:]])
        rules = self._model.rules
        weight = np.empty((len(new), vectors.shape[1]), np.float32)
        bias, rule = np.empty(len(new), np.float32), np.empty(len(new), np.intp)
        start = 0
        for place, key in enumerate(new):
            examples = len(key) - 2
            weight[place], bias[place] = rules.column(
                vectors[start], vectors[start + 1 : start + 1 + examples]
            )
            rule[place] = rules.rules.index(rules.of(examples))
            self._strangers[key] = self._size + place
            start += 1 + examples
        self._append(weight, bias, rule)

    def _append(self, weight: NDArray[np.float32], bias: NDArray[np.float32], rule: NDArray[np.intp]) -> None:
        """Adds rows. Views made before go on with the arrays they hold: rows in use never change."""
        size = self._size + len(weight)
        if size > len(self._weight):
            room = max(size, 2 * len(self._weight))
            more = room - self._size
            old = self._weight[: self._size].reshape(self._size, weight.shape[1])
            self._weight = np.concatenate((old, np.empty((more, weight.shape[1]), np.float32)))
            self._bias = np.concatenate((self._bias[: self._size], np.empty(more, np.float32)))
            self._rule = np.concatenate((self._rule[: self._size], np.full(more, -1, np.intp)))
        here = slice(self._size, size)
        self._weight[here], self._bias[here], self._rule[here] = weight, bias, rule
        self._size = size
        for number, index in self._indexes.items():
            self._index(index, number, here.start)

    def _groups(self, rows: NDArray[np.intp]) -> list[Group]:
        """Those rules that many of the rows follow, with their indexes."""
        rules = self._rule[rows]
        many = [int(number) for number, count in zip(*np.unique(rules, return_counts=True), strict=True)
                if number >= 0 and count >= self._large]  # fmt: skip
        if not many or not index_available():
            return []
        for number in many:
            if number not in self._indexes:
                self._indexes[number] = NearIndex(self._weight.shape[1])
                self._index(self._indexes[number], number, 0)
        at = [np.flatnonzero(rules == number) for number in many]
        return [
            Group.of(self._indexes[n], columns, rows[columns]) for n, columns in zip(many, at, strict=True)
        ]

    def _index(self, index: NearIndex, number: int, start: int) -> None:
        """Adds the rows of a rule, from a row on, to its index."""
        new = start + np.flatnonzero(self._rule[start : self._size] == number)
        if len(new):
            scale = np.float32(self._model.rules.rules[number].scale)
            index.add(new, self._weight[new] / scale)
