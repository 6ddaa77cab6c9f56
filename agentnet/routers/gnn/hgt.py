"""`HgtScorer`: message passing over query, entities, relations and agents by HGT; equations A2 to A4.

The heterogeneous graph transformer is Hu et al. (2020), arXiv 2003.01332, as in ``torch_geometric``. Sizes
and score head follow the code of NG-Router, a sister of AgentRouter: AgentRouter's own are not published.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import HGTConv

from agentnet.routers.gnn.agent_inputs import AgentInputs, Attention, Scorer
from agentnet.routers.gnn.knowledge_batch import EDGE_TYPES, NODE_TYPES, KnowledgeBatch


class HgtScorer(Scorer):
    """Scores agents on tasks: [B, A] logits, whose softmax is p(a | q, G).

    Args:
        dim: Length of the text vectors.
        agent_dim: Length of the agents' features.
        hidden: H.
        layers: Number of HGT layers.
        heads: Attention heads; divides ``hidden``.
        dropout: After every layer and in the score head.
    """

    def __init__(
        self, dim: int, agent_dim: int, *, hidden: int, layers: int, heads: int = 2, dropout: float = 0.2
    ) -> None:
        super().__init__(dim, agent_dim)
        sizes = dict.fromkeys(NODE_TYPES, dim) | {"agent": agent_dim}
        self.inputs = nn.ModuleDict({kind: nn.Linear(size, hidden) for kind, size in sizes.items()})
        metadata = (list(NODE_TYPES), list(EDGE_TYPES))
        self.layers = nn.ModuleList(HGTConv(hidden, hidden, metadata, heads) for _ in range(layers))
        self.query, self.agent = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.score = nn.Linear(hidden, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch: KnowledgeBatch, agents: AgentInputs) -> Tensor:
        """[B, A] logits."""
        data = batch.hetero(agents.features)
        nodes = self._pass(data.x_dict, data.edge_index_dict)
        return self._scores(nodes, len(agents.features))

    def attention(self, batch: KnowledgeBatch, agents: AgentInputs) -> Attention:
        """Attention of the last layer on each entity and relation; the same for all agents.

        An entity counts by what its query hears of it, where they are linked, and an entity or relation at
        one remove by what linked entities hear of it.
        """
        data = batch.hetero(agents.features)
        nodes, edges = data.x_dict, data.edge_index_dict
        nodes = self._pass(nodes, edges, self.layers[:-1])
        heard = _heard(self.layers[-1], nodes, edges)
        entities = torch.zeros(len(batch.entity_text), device=batch.query.device)
        entity, _ = edges["entity", "mentioned_by", "query"]
        entities.index_add_(0, entity, heard["entity", "mentioned_by", "query"])
        relations = torch.zeros(len(batch.relation_text), device=batch.query.device)
        first = entities.clone()
        for kind in (("relation", "has_subject", "entity"), ("relation", "has_object", "entity")):
            source, target = edges[kind]
            relations.index_add_(0, source, heard[kind] * first[target])
        source, target = edges["entity", "near", "entity"]
        entities.index_add_(0, source, heard["entity", "near", "entity"] * first[target])
        count = len(agents.features)
        return Attention(entities.expand(count, -1), relations.expand(count, -1))

    def _pass(
        self,
        x: dict[str, Tensor],
        edges: dict[tuple[str, str, str], Tensor],
        layers: nn.ModuleList | None = None,
    ) -> dict[str, Tensor]:
        nodes = {kind: self.inputs[kind](value) for kind, value in x.items()}
        for layer in self.layers if layers is None else layers:
            nodes = {kind: self.dropout(value) for kind, value in layer(nodes, edges).items()}
        return nodes

    def _scores(self, nodes: dict[str, Tensor], count: int) -> Tensor:
        """A4: w . tanh(W_q h_q * W_a h_a) + b."""
        query = self.query(nodes["query"])[:, None]
        agent = self.agent(nodes["agent"]).view(len(query), count, -1)
        result: Tensor = self.score(self.dropout(torch.tanh(query * agent))).squeeze(-1)
        return result


def _heard(
    layer: HGTConv,
    nodes: dict[str, Tensor],
    edges: dict[tuple[str, str, str], Tensor],
    *,
    mean: bool = True,
) -> dict[tuple[str, str, str], Tensor]:
    """The attention weight of every edge (A2), by head or their mean; HGTConv itself does not give it out."""
    from torch_geometric.utils import softmax

    size = layer.out_channels // layer.heads
    parts = {kind: value.chunk(3, 1) for kind, value in layer.kqv_lin(nodes).items()}
    key = {kind: part[0].view(-1, layer.heads, size) for kind, part in parts.items()}
    query = {kind: part[1].view(-1, layer.heads, size) for kind, part in parts.items()}
    starts, total = {}, 0
    for kind, value in query.items():
        starts[kind], total = total, total + len(value)
    logits, targets = [], []
    for kind, (source, target) in edges.items():
        rows = layer.edge_types_map[kind] + len(EDGE_TYPES) * torch.arange(layer.heads)
        turned = torch.einsum("nhd,hde->nhe", key[kind[0]], layer.k_rel.weight[rows])
        match = (query[kind[2]][target] * turned[source]).sum(-1) * layer.p_rel["__".join(kind)]
        logits.append(match / size**0.5)
        targets.append(target + starts[kind[2]])
    weight = softmax(torch.cat(logits), torch.cat(targets), num_nodes=total)
    weight = weight.mean(1) if mean else weight
    return dict(zip(edges, weight.split([len(target) for target in targets]), strict=True))
