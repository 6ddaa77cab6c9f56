"""`ReaderScorer`: each agent looks over a task's entities and relations; agentnet's own network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from agentnet.routers.gnn.agent_inputs import AgentInputs, Attention, Scorer
from agentnet.routers.gnn.knowledge_batch import KnowledgeBatch

FORGET = 0.3
"""Share of the training in which an agent is known by its text only, as a new one will be."""


class ReaderScorer(Scorer):
    """Scores agents on tasks: [B, A] logits to be added to those of the agents' mean scores.

    Every different text is projected once a batch. Messages go from entities to their relations and back;
    then each agent attends over all entities and relations of the graph, and its score is a product of
    what it read with what it is. The head starts at zero: before any training all tasks look alike.

    Args:
        dim: Length of the text vectors.
        agent_dim: Length of the agents' features.
        agents: Agents seen in training.
        hidden: H.
        layers: Rounds of messages.
        dropout: On the inputs and inside.
    """

    def __init__(
        self, dim: int, agent_dim: int, *, agents: int, hidden: int, layers: int, dropout: float
    ) -> None:
        super().__init__(dim, agent_dim)
        self.query, self.text = nn.Linear(dim, hidden), nn.Linear(dim, hidden)
        self.agent, self.identity = nn.Linear(agent_dim, hidden), nn.Embedding(agents + 1, hidden)
        self.asked = nn.Embedding(2, hidden)
        self.layers = nn.ModuleList(_Messages(hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        self.look_query, self.look_agent = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden, bias=False)
        self.memory = nn.Linear(hidden, 2 * hidden)
        self.mix_query, self.mix_read = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden, bias=False)
        self.head, self.level = nn.Linear(hidden, hidden), nn.Linear(hidden, 1)
        self.dropout = nn.Dropout(dropout)
        with torch.no_grad():
            self.identity.weight[0] = 0
            for part in (self.head, self.level):
                part.weight.zero_()
                part.bias.zero_()

    def forward(self, batch: KnowledgeBatch, agents: AgentInputs) -> Tensor:
        """[B, A] logits."""
        return self._read(batch, agents)[0]

    def attention(self, batch: KnowledgeBatch, agents: AgentInputs) -> Attention:
        """What each agent attends to in a batch of one graph."""
        weight = self._read(batch, agents)[1][0]
        count = len(batch.entity_text)
        return Attention(weight[:, :count], weight[:, count:])

    def _read(self, batch: KnowledgeBatch, agents: AgentInputs) -> tuple[Tensor, Tensor]:
        query = self.query(self.dropout(batch.query))
        agent = gelu(self.agent(agents.features)) + self._identity(agents)
        keys, values = self._memory(batch, query)
        size = keys.shape[2]
        empty = batch.slots == len(batch.entity_text) + len(batch.relation_text)
        look = self.look_query(query)[:, None] + self.look_agent(agent)[None]  # [B, A, H]
        match = look @ keys.transpose(1, 2) / size**0.5
        weight = match.masked_fill(empty[:, None], float("-inf")).softmax(2)  # [B, A, S]
        read = weight @ values
        state = self.dropout(gelu(self.mix_query(query)[:, None] + self.mix_read(read)))
        scores = (state * self.head(agent)).sum(2) / size**0.5 + self.level(state).squeeze(2)
        return scores, weight

    def _identity(self, agents: AgentInputs) -> Tensor:
        rows = agents.identity
        if self.training:
            rows = rows * (torch.rand(rows.shape, device=rows.device) >= FORGET)
        result: Tensor = self.identity(rows) * (rows > 0)[:, None]
        return result

    def _memory(self, batch: KnowledgeBatch, query: Tensor) -> tuple[Tensor, Tensor]:
        """[B, S, H] keys and values of each graph's entities and relations, after the messages."""
        texts = self.dropout(self.text(batch.texts))
        entities = texts.index_select(0, batch.entity_text) + self.asked(batch.asked)
        relations = texts.index_select(0, batch.relation_text)
        for layer in self.layers:
            entities, relations = layer(batch, entities, relations, query)
        # Keys and values before they are laid out by graph: most of the places there are empty.
        nodes = self.memory(self.norm(torch.cat((entities, relations))))
        nodes = torch.cat((nodes, nodes.new_zeros(1, nodes.shape[1])))
        laid = nodes.index_select(0, batch.slots.flatten()).view(*batch.slots.shape, -1)
        keys, values = laid.chunk(2, 2)
        return keys, values


class _Messages(nn.Module):
    """One round: entities to relations, relations and neighbours back to entities; mean of each kind."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.from_subject, self.from_target = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.to_subject, self.to_target = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.near, self.query = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)

    def forward(
        self, batch: KnowledgeBatch, entities: Tensor, relations: Tensor, query: Tensor
    ) -> tuple[Tensor, Tensor]:
        asked = self.query(query)
        if len(relations):
            ends = self.from_subject(entities).index_select(0, batch.subject)
            ends = ends + self.from_target(entities).index_select(0, batch.target)
            relations = relations + gelu(ends + relations)
            heard = _mean(self.to_subject(relations), batch.subject, len(entities))
            heard = heard + _mean(self.to_target(relations), batch.target, len(entities))
        else:
            heard = torch.zeros_like(entities)
        if batch.near.shape[1]:
            a, b = batch.near
            side = self.near(entities)
            both = side.index_select(0, torch.cat((a, b))) * batch.near_weight.repeat(2)[:, None]
            heard = heard + _mean(both, torch.cat((b, a)), len(entities))
        return entities + gelu(heard + asked.index_select(0, batch.entity_graph)), relations


def _mean(messages: Tensor, to: Tensor, count: int) -> Tensor:
    total = messages.new_zeros(count, messages.shape[1]).index_add(0, to, messages)
    number = messages.new_zeros(count).index_add(0, to, messages.new_ones(len(to)))
    return total / number.clamp(min=1)[:, None]


class PairScorer(Scorer):
    """Scores by the query's and the agent's vectors alone, without any graph: an ablation.

    Args:
        dim: Length of the text vectors.
        agent_dim: Length of the agents' features.
        agents: Agents seen in training.
        hidden: H.
        dropout: On the inputs and inside.
    """

    def __init__(self, dim: int, agent_dim: int, *, agents: int, hidden: int, dropout: float) -> None:
        super().__init__(dim, agent_dim)
        self.query, self.agent = nn.Linear(dim, hidden), nn.Linear(agent_dim, hidden)
        self.identity = nn.Embedding(agents + 1, hidden)
        self.middle, self.score = nn.Linear(hidden, hidden), nn.Linear(hidden, 1)
        self.dropout = nn.Dropout(dropout)
        with torch.no_grad():
            self.score.weight.zero_()
            self.score.bias.zero_()

    def forward(self, batch: KnowledgeBatch, agents: AgentInputs) -> Tensor:
        """[B, A] logits."""
        known = (agents.identity > 0)[:, None]
        agent = self.agent(agents.features) + self.identity(agents.identity) * known
        both = gelu(self.query(self.dropout(batch.query))[:, None] + agent[None])
        result: Tensor = self.score(self.dropout(gelu(self.middle(both)))).squeeze(2)
        return result

    def attention(self, batch: KnowledgeBatch, agents: AgentInputs) -> Attention:
        """Nothing is looked at."""
        count = len(agents.features)
        return Attention(
            torch.zeros(count, len(batch.entity_text)), torch.zeros(count, len(batch.relation_text))
        )
