"""Edges between queries and agents: effect, cost, utility, labels and masks of GraphRouter.

Source: arXiv 2410.03834 and its released code; equations are numbered as in
``docs/routers/graph_router.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agentnet.outcomes.table import Outcomes

SCENARIOS = {"performance": (1.0, 0.0), "balance": (0.5, 0.5), "cost": (0.2, 0.8)}
"""Weights (alpha, beta) of effect and cost in the three scenarios of the paper."""
OUTPUT_TOKENS = 512
"""Output tokens that the released code assumes for every call."""
_SAME = 1e-8


def assumed_cost(tokens_in: Any, price_in: Any, price_out: Any) -> Any:
    """Returns the cost of a call by list prices, with a constant number of output tokens (G1).

    Args:
        tokens_in: Prompt tokens.
        price_in: Price per prompt token, in any unit.
        price_out: Price per output token, in the same unit.

    >>> round(assumed_cost(7, 0.2, 0.2), 6), round(assumed_cost(7, 0.9, 0.9), 6)
    (103.8, 467.1)
    """
    return tokens_in * price_in + OUTPUT_TOKENS * price_out


def utility(effect: Any, cost: Any, scenario: str) -> Any:
    """Returns u = alpha * effect - beta * cost, the reward of a scenario (G2).

    Args:
        effect: Scores in [0, 1].
        cost: Costs scaled to [0, 1].
        scenario: A key of `SCENARIOS`.

    >>> round(utility(0.448, 0.031, "balance"), 4)
    0.2085
    """
    alpha, beta = SCENARIOS[scenario]
    return alpha * effect - beta * cost


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """What is known of n queries on M agents.

    Attributes:
        effect: [n, M] float32 score; 0 where there is none.
        cost: [n, M] float32 USD. An unknown one is the mean of its agent's known ones; of an agent without
            any, the highest there is: what is unknown must not look cheap.
        weight: [n, M] float32 how much the score counts; 0 where there is none.
    """

    effect: NDArray[np.float32]
    cost: NDArray[np.float32]
    weight: NDArray[np.float32]

    @classmethod
    def of(cls, score: Any, cost: Any, weight: Any) -> Edges:
        """Builds edges from matrices [n, M]; NaN is unknown, ``cost`` and ``weight`` may be None."""
        seen = ~np.isnan(score)
        mass = seen if weight is None else np.where(seen, weight, 0)
        return cls(
            effect=np.where(mass > 0, np.nan_to_num(score), 0).astype(np.float32),
            cost=_filled(np.full(score.shape, np.nan) if cost is None else cost).astype(np.float32),
            weight=mass.astype(np.float32),
        )

    def scaled(self, low: float, high: float) -> Edges:
        """Returns the edges with costs scaled so that ``low`` is 0 and ``high`` is 1.

        Costs outside of that range, which training did not have, are cut off.
        """
        span = high - low
        cost = np.clip((self.cost - low) / span, 0, 1) if span > 0 else np.zeros_like(self.cost)
        return replace(self, cost=cost.astype(np.float32))

    def features(self, scenario: str) -> torch.Tensor:
        """Returns [n, M, 3]: utility, cost and effect of each edge; costs must be scaled already."""
        parts = (utility(self.effect, self.cost, scenario), self.cost, self.effect)
        return torch.from_numpy(np.stack(parts, 2).astype(np.float32))

    def best(self, scenario: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Returns multi-hot labels of the best agents (G6), and the rows that tell agents apart.

        All agents within 1e-8 of a row's highest utility are labelled 1: with only the first of them, the
        order of the agents would decide most labels. Rows in which all known agents tie say nothing.

        Returns:
            [n, M] labels in {0, 1}, and [n] True where not all tie.
        """
        known = self.weight > 0
        value = utility(self.effect.astype(np.float64), self.cost.astype(np.float64), scenario)
        top = np.where(known, value, -np.inf).max(1, keepdims=True, initial=-np.inf)
        best = known & (value >= top - _SAME)
        return best.astype(np.float32), (known & ~best).any(1)


def _filled(cost: NDArray[np.float64]) -> NDArray[np.float64]:
    known = ~np.isnan(cost)
    highest = float(cost[known].max()) if known.any() else 0.0
    total, count = np.where(known, cost, 0).sum(0), known.sum(0)
    usual = np.where(count > 0, total / np.maximum(count, 1), highest)
    return np.where(known, cost, usual)


def known_costs(outcomes: Outcomes) -> NDArray[np.float64]:
    """Returns [n, M] recorded costs in USD; where there is none, by list prices (G1) if they are known."""
    prices = [
        [np.nan if price is None else float(price) / 1e6 for price in pair]
        for pair in ((agent.price_in_per_mtok, agent.price_out_per_mtok) for agent in outcomes.pool)
    ]
    dear = np.array(prices).reshape(-1, 2)
    assumed = assumed_cost(outcomes.prompt_tokens, dear[:, 0], dear[:, 1])
    cost: NDArray[np.float64] = np.where(np.isnan(outcomes.cost), assumed, outcomes.cost)
    return cost


def draw_visible(
    known: torch.Tensor, count: int, share: float, generator: torch.Generator, *, whole: bool = False
) -> torch.Tensor:
    """Returns [count, M, n] random maskings: 1 where an edge is visible, 0 where it is to be predicted.

    Args:
        known: [n, M] bool, the edges there are; others are never visible.
        count: B.
        share: r, the probability of being visible. (The released code calls it ``train_mask_rate``.)
        generator: On the CPU.
        whole: Mask whole queries, as a query that is served has no edge at all; else single edges.
    """
    n, agents = known.shape
    drawn = torch.rand(count, 1 if whole else agents, n, generator=generator) < share
    return (drawn.to(known.device) & known.T).float()
