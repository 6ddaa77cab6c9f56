"""How like a query is to each agent, where no router is there to say so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.pool import Pool
from agentnet.outcomes.encoders.base import Encoder

NEAREST = 3
"""Examples of an agent whose mean likeness counts."""


class Likeness:
    """Cosine likeness of queries to descriptions and examples.

    An agent's score is the larger of two cosines: with its description, and the mean with its `NEAREST`
    nearest examples.

    >>> from agentnet.graphs.agent import Agent
    >>> from agentnet.outcomes.encoders import HashingEncoder
    >>> pool = Pool([Agent(name="cards", description="lost cards"), Agent(name="loans", description="loans")])
    >>> Likeness(pool, HashingEncoder()).scores(["my cards are lost"], [-1], [-1]).argmax().tolist()
    0
    """

    def __init__(self, pool: Pool, encoder: Encoder) -> None:
        self._encoder = encoder
        self._described = encoder.encode([agent.description or agent.name for agent in pool])
        self._starts: list[int] = []
        texts: list[str] = []
        for agent in pool:
            self._starts.append(len(texts))
            texts.extend(agent.examples)
        self._starts.append(len(texts))
        self._examples = encoder.encode(texts) if texts else np.zeros((0, encoder.dim), np.float32)

    def scores(
        self, texts: Sequence[str], owner: Sequence[int], example: Sequence[int]
    ) -> NDArray[np.float64]:
        """Returns [n, A] the likeness of n texts to A agents.

        Args:
            texts: n texts.
            owner: [n] position of the agent whose example a text is, if it is one.
            example: [n] its number among that agent's examples, so that it is not compared with itself; -1
                for texts that are no example.
        """
        vectors = self._encoder.encode(texts)
        scores = np.asarray(vectors @ self._described.T, np.float64)
        if not len(self._examples):
            return scores
        near = np.asarray(vectors @ self._examples.T, np.float64)
        for row, (own, number) in enumerate(zip(owner, example, strict=True)):
            if number >= 0:
                near[row, self._starts[own] + number] = np.nan
        for agent in range(scores.shape[1]):
            block = near[:, self._starts[agent] : self._starts[agent + 1]]
            if block.shape[1]:
                scores[:, agent] = np.fmax(scores[:, agent], _mean_of_nearest(block))
        return scores


def _mean_of_nearest(block: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n] mean of the largest numbers of each row; NaN where a row has none."""
    filled = np.where(np.isnan(block), -np.inf, block)
    top = -np.sort(-filled, axis=1)[:, :NEAREST]
    there = np.isfinite(top)
    count = there.sum(axis=1)
    total = np.where(there, top, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
