"""Batches of knowledge graphs, and the networks that read them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from agentnet.graphs.agent import Agent
from agentnet.graphs.knowledge import GraphCache, make_extractor
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.outcomes.encoders import make_encoder
from agentnet.routers.gnn.agent_inputs import AgentInputs, agent_inputs
from agentnet.routers.gnn.agent_method import Method
from agentnet.routers.gnn.knowledge_batch import (
    EDGE_TYPES,
    NODE_TYPES,
    Detail,
    KnowledgeSource,
    KnowledgeTable,
)
from agentnet.routers.gnn.training import seeded

TASKS = [
    Task("Is Rome near Paris?"),
    Task("nothing named"),
    Task(
        "Who wrote to Charles Babbage?",
        context=json.dumps(
            [{"title": "Ada", "text": "Ada Lovelace wrote to Charles Babbage in London in 1843."}]
        ),
    ),
    Task("who?", context="Rome lies in Italy. Oslo lies in Norway. Lima lies in Peru."),
]
ENCODER = make_encoder("hash:64")
POOL = Pool(Agent(name=name, description=f"knows {name}") for name in ("north", "south", "east"))


def made(detail: Detail = "full") -> tuple[KnowledgeSource, KnowledgeTable]:
    source = KnowledgeSource(GraphCache(make_extractor("rules")), ENCODER.encode, detail=detail)
    return source, source.table(TASKS, ENCODER.encode([task.text for task in TASKS]))


def agents(pool: Pool = POOL) -> AgentInputs:
    return agent_inputs(pool, ("north", "south"), ENCODER.encode, numbers=True)


def network(recipe: Any, detail: Detail = "full") -> Any:
    method = Method.of(recipe, detail=detail, target="soft", tau=None, hidden=16, layers=2, epochs=1)
    with seeded(0):
        made = method.network(64, agents().features.shape[1], 2)
        for parameter in made.parameters():  # heads that start at zero would hide a difference
            torch.nn.init.normal_(parameter, std=0.3)
    return made.eval()


@pytest.mark.parametrize("rows", [[1], [0, 1], [0, 1, 2, 3]])
def test_every_kind_of_node_and_edge_is_there_whatever_the_batch(rows: list[int]) -> None:
    data = made()[1].batch(np.array(rows)).hetero(agents().features)
    data.validate(raise_on_error=True)
    assert tuple(data.node_types) == NODE_TYPES and tuple(data.edge_types) == EDGE_TYPES
    assert data["agent"].num_nodes == 3 * len(rows) and data["query"].num_nodes == len(rows)
    for source, _, target in EDGE_TYPES:
        edges = data[source, _, target].edge_index
        assert torch.equal(data[source].batch[edges[0]], data[target].batch[edges[1]])


def test_a_query_is_tied_to_what_it_names_or_else_to_the_three_nearest() -> None:
    _, table = made()
    ptr, texts = table.arrays.entity_ptr, table.arrays.texts
    linked = [
        {texts[table.arrays.entity_text[i]] for i in range(ptr[row], ptr[row + 1]) if table.linked[i]}
        for row in range(len(TASKS))
    ]
    assert linked[0] == {"Rome", "Paris"} and linked[1] == {"[NONE]"} and linked[2] == {"Charles Babbage"}
    names = [texts[i] for i in table.arrays.entity_text[ptr[3] : ptr[4]]]
    cosine = dict(zip(names, ENCODER.encode(names) @ table.query[3], strict=True))
    assert linked[3] == set(sorted(names, key=lambda name: -cosine[name])[:3])


@pytest.mark.parametrize("recipe", ["agentnet", "paper"])
def test_graphs_of_a_batch_do_not_touch_each_other(recipe: str) -> None:
    _, table = made()
    net = network(recipe)
    with torch.no_grad():
        together = net(table.batch(), agents())
        alone = torch.cat([net(table.batch(np.array([row])), agents()) for row in range(len(TASKS))])
        backwards = net(table.batch(np.array([3, 2, 1, 0])), agents())
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(backwards, together.flip(0), rtol=1e-4, atol=1e-5)
    assert together.std() > 0.01


@pytest.mark.parametrize("detail", ["full", "none"])
@pytest.mark.parametrize("recipe", ["agentnet", "paper"])
def test_permuted_agents_permute_the_scores(recipe: str, detail: Detail) -> None:
    _, table = made(detail)
    net = network(recipe, detail)
    order = [2, 0, 1]
    with torch.no_grad():
        scores = net(table.batch(), agents())
        permuted = net(table.batch(), agents(Pool(POOL.agents[i] for i in order)))
    torch.testing.assert_close(permuted, scores[:, order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("recipe", ["agentnet", "paper"])
def test_entities_and_relations_reach_the_scores_unless_taken_out(recipe: str) -> None:
    net = network(recipe)
    scores = {}
    for detail in ("full", "no_relations", "query_agent"):
        with torch.no_grad():
            scores[detail] = net(made(detail)[1].batch(), agents())  # type: ignore[arg-type]
    assert not torch.allclose(scores["full"][2], scores["no_relations"][2], atol=1e-4)
    assert not torch.allclose(scores["no_relations"][2], scores["query_agent"][2], atol=1e-4)
    torch.testing.assert_close(scores["full"][1], scores["no_relations"][1])


@pytest.mark.parametrize("recipe", ["agentnet", "paper"])
def test_attention_is_a_share_and_tells_of_every_entity(recipe: str) -> None:
    _, table = made()
    batch = table.batch(np.array([2]))
    net = network(recipe)
    with torch.no_grad():
        seen = net.attention(batch, agents())
    assert seen.entities.shape == (3, len(batch.entity_text))
    assert seen.relations.shape == (3, len(batch.relation_text)) and len(batch.relation_text) > 0
    both = torch.cat((seen.entities, seen.relations), 1)
    assert (both >= 0).all() and (seen.entities.sum(1) > 0).all()
    if recipe == "agentnet":
        torch.testing.assert_close(both.sum(1), torch.ones(3))


def test_hgt_attention_is_what_the_layer_itself_uses() -> None:
    """Messages summed with the told weights give what HGTConv gives."""
    from agentnet.routers.gnn.hgt import _heard

    data = made()[1].batch().hetero(agents().features)
    net = network("paper")
    layer, edges = net.layers[0], data.edge_index_dict
    with torch.no_grad():
        nodes = {kind: net.inputs[kind](x) for kind, x in data.x_dict.items()}
        weights = _heard(layer, nodes, edges, mean=False)
        out = layer(nodes, edges)["agent"]
        kind = ("query", "asks", "agent")
        value = layer.kqv_lin({"query": nodes["query"]})["query"].chunk(3, 1)[2].view(-1, 2, 8)
        rows = layer.edge_types_map[kind] + len(EDGE_TYPES) * torch.arange(2)
        turned = torch.einsum("nhd,hde->nhe", value, layer.v_rel.weight[rows])
        source, target = edges[kind]
        message = torch.zeros(len(nodes["agent"]), 2, 8)
        message.index_add_(0, target, turned[source] * weights[kind][..., None])
        by_hand = layer.out_lin({"agent": torch.nn.functional.gelu(message.view(-1, 16))})["agent"]
        gate = layer.skip["agent"].sigmoid()
        torch.testing.assert_close(out, gate * by_hand + (1 - gate) * nodes["agent"], rtol=1e-4, atol=1e-5)


def test_a_task_alone_is_kept_until_its_encoding_changes() -> None:
    source, _ = made()
    query = ENCODER.encode([TASKS[2].text])
    first = source.table(TASKS[2:3], query)
    assert source.table(TASKS[2:3], query.copy()) is first
    assert source.table(TASKS[2:3], -query) is not first


def test_what_an_agent_costs_and_weighs_is_told_only_where_known() -> None:
    pool = Pool(
        [Agent(name="a"), Agent(name="b", price_in_per_mtok="1", price_out_per_mtok="100", params_b=7)]
    )
    numbers = agent_inputs(pool, ("b",), ENCODER.encode, numbers=True)
    assert numbers.features[0, 64:].tolist() == [0] * 6
    assert numbers.features[1, [65, 67, 69]].tolist() == [1, 1, 1]
    assert numbers.features[1, 66] > numbers.features[1, 64]
    assert numbers.identity.tolist() == [0, 1]
    assert agent_inputs(pool, (), ENCODER.encode, numbers=False).features.shape == (2, 64)
