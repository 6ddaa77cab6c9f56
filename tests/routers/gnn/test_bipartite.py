"""GraphRouter's network: the published equations, in batches, without leaks and without positions."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from agentnet.routers.gnn.bipartite import BipartiteNet, Graph
from agentnet.routers.gnn.edges import draw_visible
from agentnet.routers.gnn.training import seeded

N, M = 40, 5


def graph(agents: int = M) -> Graph:
    g = torch.Generator().manual_seed(3)
    shapes = ((N, 6), (N, 7), (agents, 8), (N, agents, 3))
    return Graph(*(torch.rand(shape, generator=g) for shape in shapes))


def net(*, mean: bool = False) -> BipartiteNet:
    with seeded(1):
        made = BipartiteNet(6, 7, 8, hidden=4, mean=mean)
    made.norm1.mean.uniform_(-1, 1)  # statistics that are not neutral
    return made.eval()


def predict(made: BipartiteNet, inputs: Graph, visible: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        x = made.of_queries(inputs.task, inputs.query)
        return made.logits(x, made.of_agents(inputs, x, visible))


def masks(count: int, share: float = 0.5, agents: int = M) -> torch.Tensor:
    everything = torch.ones(N, agents, dtype=torch.bool)
    return draw_visible(everything, count, share, torch.Generator().manual_seed(5))


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_it_equals_the_released_network_edge_by_edge(training: bool, mean: bool) -> None:
    """The same weights in PyTorch Geometric's layers over listed edges, with torch's batch norm."""
    from torch_geometric.nn import GeneralConv

    made, inputs, visible = net(mean=mean).train(training), graph(), masks(1)
    width, aggr = made.width, "mean" if mean else "add"
    convs = [GeneralConv(width, width, in_edge_channels=3, aggr=aggr) for _ in range(2)]
    norms = [torch.nn.BatchNorm1d(width).train(training) for _ in range(2)]
    with torch.no_grad():
        for conv, norm, mine, batch in zip(
            convs, norms, (made.first, made.second), (made.norm1, made.norm2), strict=True
        ):
            conv.lin_msg.weight.copy_(mine.node.weight)
            conv.lin_msg.bias.copy_(mine.node.bias)
            conv.lin_edge.weight.copy_(mine.edge.weight)
            conv.lin_edge.bias.copy_(mine.edge.bias)
            norm.running_mean.copy_(batch.mean)  # type: ignore[union-attr]
            norm.running_var.copy_(batch.var)  # type: ignore[union-attr]
        at = visible[0].T.nonzero()  # query, agent
        index = torch.stack((at[:, 0], at[:, 1] + N))
        sent = made.edge(inputs.edges[at[:, 0], at[:, 1]]).relu()
        x = torch.cat((made.of_queries(inputs.task, inputs.query), made.agent(inputs.agent)))
        y = norms[0](convs[0](x, index, sent)).relu()
        y = norms[1](convs[1](y, index, sent))
        expected = (x[:N, None] * y[None, N:]).mean(-1)
        torch.testing.assert_close(predict(made, inputs, visible)[0], expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(made.norm2.mean, norms[1].running_mean, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(made.norm2.var, norms[1].running_var, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("training", [False, True])
def test_a_batch_of_maskings_equals_one_masking_at_a_time(training: bool) -> None:
    made, inputs, visible = net().train(training), graph(), masks(6)
    together = predict(made, inputs, visible)
    alone = torch.cat([predict(made, inputs, mask[None]) for mask in visible])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_features_of_targets_reach_no_prediction() -> None:
    made, inputs, visible = net().train(), graph(), masks(3)
    hidden = visible.transpose(1, 2) == 0
    changed = [
        Graph(inputs.task, inputs.query, inputs.agent, torch.where(mask[..., None], 9.0, inputs.edges))
        for mask in hidden
    ]
    before = predict(made, inputs, visible)
    for i, other in enumerate(changed):
        torch.testing.assert_close(
            predict(made, other, visible[i : i + 1])[0], before[i], rtol=1e-4, atol=1e-5
        )
    seen = Graph(inputs.task, inputs.query, inputs.agent, inputs.edges + (~hidden[0])[..., None].float())
    assert not torch.allclose(predict(made, seen, visible[:1])[0], before[0], atol=1e-3)


def test_only_targets_are_learned_from() -> None:
    made, inputs, visible = net().train(), graph(), masks(4)
    label = torch.rand(N, M, generator=torch.Generator().manual_seed(1)).round()
    judged = torch.ones(N, M)
    plain = made.loss(inputs, visible, label, judged)
    logits = predict(made, inputs, visible)
    target = visible.transpose(1, 2) == 0
    expected = torch.stack(
        [
            functional.binary_cross_entropy_with_logits(logits[i][target[i]], label[target[i]])
            for i in range(4)
        ]
    ).mean()
    torch.testing.assert_close(plain, expected)
    never = visible.amin(0).T > 0  # visible in all four maskings
    assert never.any()
    other = made.loss(inputs, visible, torch.where(never, 1 - label, label), judged)
    torch.testing.assert_close(other, plain)


def test_agents_in_another_order_get_the_same_scores() -> None:
    made, inputs, visible = net(), graph(), masks(2)
    order = torch.tensor([3, 0, 4, 1, 2])
    turned = Graph(inputs.task, inputs.query, inputs.agent[order], inputs.edges[:, order])
    torch.testing.assert_close(
        predict(made, turned, visible[:, order]), predict(made, inputs, visible)[..., order]
    )


def test_a_new_agent_needs_no_parameter_and_leaves_the_others_alone() -> None:
    made, bigger = net(), graph(M + 2)
    visible = masks(2, agents=M + 2)
    few = Graph(bigger.task, bigger.query, bigger.agent[:M], bigger.edges[:, :M])
    torch.testing.assert_close(
        predict(made, bigger, visible)[..., :M], predict(made, few, visible[:, :M]), rtol=1e-4, atol=1e-5
    )


def test_mean_aggregation_gives_an_agent_with_few_edges_messages_of_the_same_size() -> None:
    inputs, full = graph(), torch.ones(1, M, N)
    few = full.clone()
    few[:, 0, 8:] = 0
    with torch.no_grad():
        for mean, same in ((True, True), (False, False)):
            made = net(mean=mean)
            x = made.of_queries(inputs.task, inputs.query)
            sent = made.edge(inputs.edges).relu()
            sizes = [
                (
                    made.first(x, torch.einsum("bmn,nmk->bmk", v, sent), torch.zeros(M, made.width), v)[0, 0]
                ).norm()
                for v in (full, few)
            ]
            assert bool(0.5 < sizes[0] / sizes[1] < 2) is same
