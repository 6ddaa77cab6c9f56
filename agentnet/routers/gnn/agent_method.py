"""The two recipes of ``agent_router``: sizes, schedule and network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from agentnet.routers.gnn.plan import Plan

if TYPE_CHECKING:
    from agentnet.routers.gnn.agent_inputs import Scorer
    from agentnet.routers.gnn.knowledge_batch import Detail

Recipe = Literal["agentnet", "paper"]
Target = Literal["soft", "hard"]
PAPER_K = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How networks are made and trained.

    Attributes:
        recipe: Which recipe.
        detail: What of the knowledge graph is used.
        hidden: H.
        layers: Layers of message passing.
        dropout: Share of the numbers dropped.
        batch: Most rows in a step; fewer where an epoch would have less than four steps.
        plan: Length and learning rate.
        members: Networks; each is judged on a part of the rows that it has not learned from.
        target: Form of the target distribution.
        tau: Temperature of the target.
    """

    recipe: Recipe
    detail: Detail
    hidden: int
    layers: int
    dropout: float
    batch: int
    plan: Plan
    members: int
    target: Target
    tau: float

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        *,
        detail: Detail,
        target: Target,
        tau: float | None,
        hidden: int | None,
        layers: int | None,
        epochs: int | None,
    ) -> Method:
        """Fills in the recipe's own values for what is None.

        ``paper`` has those of NG-Router's code, the sister paper (see docs/routers/agent_router.md).
        """
        if recipe == "paper":
            plan = Plan(epochs=epochs or 3, patience=None, lr=1e-3, weight_decay=0.01, clip=1.0, threads=1)
            size, depth, batch, members = 256, 2, 8, 1
        else:
            plan = Plan(epochs=epochs or 60, patience=4, lr=2e-3, weight_decay=0.05, clip=1.0, threads=1)
            size, depth, batch, members = 64, 1, 128, 4
        return cls(
            recipe=recipe, detail=detail, hidden=hidden or size, layers=layers or depth, dropout=0.2,
            batch=batch, plan=plan, members=members, target=target, tau=0.25 if tau is None else tau,
        )  # fmt: skip

    @property
    def absolute(self) -> bool:
        """Whether the network adds to the agents' mean scores, and so predicts scores and not only ranks."""
        return self.recipe == "agentnet"

    def network(self, dim: int, agent_dim: int, agents: int) -> Scorer:
        """Returns a fresh network.

        Args:
            dim: Length of the text vectors.
            agent_dim: Length of the agents' features.
            agents: Agents seen in training.
        """
        if self.detail == "none":
            from agentnet.routers.gnn.reader import PairScorer

            return PairScorer(dim, agent_dim, agents=agents, hidden=self.hidden, dropout=self.dropout)
        if self.recipe == "paper":
            from agentnet.routers.gnn.hgt import HgtScorer

            return HgtScorer(dim, agent_dim, hidden=self.hidden, layers=self.layers, dropout=self.dropout)
        from agentnet.routers.gnn.reader import ReaderScorer

        return ReaderScorer(
            dim, agent_dim, agents=agents, hidden=self.hidden, layers=self.layers, dropout=self.dropout
        )
