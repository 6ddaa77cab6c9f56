"""What a network is told of the agents, and what it tells of its attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool

if TYPE_CHECKING:
    from agentnet.routers.gnn.knowledge_batch import KnowledgeBatch

NUMBERS = 6
"""Numbers beside an agent's text: two prices and the parameters, each with whether it is known."""
PROMPT_CHARS = 512


@dataclass(frozen=True, slots=True, eq=False)
class AgentInputs:
    """A agents as a network sees them.

    Attributes:
        features: [A, d] vectors of their texts, with numbers where the recipe takes them.
        identity: [A] rows of the table of agents seen in training, counted from 1; 0 for others.
    """

    features: Tensor
    identity: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Attention:
    """How much each entity and relation of one graph counts for each agent.

    Attributes:
        entities: [A, N].
        relations: [A, M].
    """

    entities: Tensor
    relations: Tensor


class Scorer(nn.Module):
    """A network that scores agents on tasks.

    Attributes:
        query_dim: Length of the text vectors it takes.
        agent_dim: Length of the agents' features.
    """

    def __init__(self, query_dim: int, agent_dim: int) -> None:
        super().__init__()
        self.query_dim, self.agent_dim = query_dim, agent_dim

    def forward(self, batch: KnowledgeBatch, agents: AgentInputs) -> Tensor:
        """[B, A] logits."""
        raise NotImplementedError

    def attention(self, batch: KnowledgeBatch, agents: AgentInputs) -> Attention:
        """What each agent attends to in a batch of one graph."""
        raise NotImplementedError


def agent_text(agent: Agent) -> str:
    """Returns the text that an agent is known by: name, description, model and the start of its prompt.

    >>> agent_text(Agent(name="cot", description="Thinks in steps", system="Think."))
    'cot | Thinks in steps | Think.'
    """
    model = agent.backend.model if agent.backend is not None else ""
    parts = (agent.name, agent.description, model, agent.system[:PROMPT_CHARS])
    return " | ".join(part for part in parts if part.strip())


def agent_numbers(agent: Agent) -> list[float]:
    """Returns prices and size on a logarithmic scale, each followed by whether it is known."""
    values: list[float] = []
    for value in (agent.price_in_per_mtok, agent.price_out_per_mtok, agent.params_b):
        known = value is not None
        values += [math.log10(float(value) + 1e-3) / 2 if value is not None else 0.0, float(known)]
    return values


def agent_inputs(
    pool: Pool,
    trained: Sequence[str],
    encode: Callable[[Sequence[str]], NDArray[np.float32]],
    *,
    numbers: bool,
    device: str = "cpu",
) -> AgentInputs:
    """Returns the inputs of a pool's agents.

    Args:
        pool: A agents.
        trained: Names of the agents seen in training, in the order of their rows.
        encode: Texts to vectors.
        numbers: Whether prices and size are told.
        device: Where the tensors go.
    """
    features = encode([agent_text(agent) for agent in pool])
    if numbers:
        extra = np.array([agent_numbers(agent) for agent in pool], np.float32)
        features = np.concatenate((features, extra), 1)
    where = {name: i + 1 for i, name in enumerate(trained)}
    identity = torch.tensor([where.get(name, 0) for name in pool.names])
    return AgentInputs(torch.from_numpy(features).to(device), identity.to(device))
