"""The network of Adaptive Graph Pruning against its definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import GraphError
from agentnet.routers.gnn.training import seeded
from agentnet.routers.topology.graphs import Shape
from agentnet.routers.topology.paper_net import (
    PaperInputs,
    PaperNet,
    PaperOutput,
    decode,
    propagation,
    role_graph,
)


def make_net(d: int = 12, seed: int = 0, **settings: object) -> PaperNet:
    with seeded(seed):
        return PaperNet(d, **settings)  # type: ignore[arg-type]


def random_inputs(rows: int = 7, agents: int = 5, d: int = 12, seed: int = 0) -> PaperInputs:
    g = torch.Generator().manual_seed(seed)
    return PaperInputs.of(torch.randn(rows, d, generator=g), torch.randn(agents, d, generator=g))


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_it_has_as_many_parameters_as_the_released_network() -> None:
    net = make_net(384)
    assert net.masker is not None
    assert count(net.first) + count(net.second) + count(net.masker) == 19_985
    assert count(net.decoder) == 6_432
    assert count(make_net(384, mask_head=False)) == 26_417 - (16 * 64 + 64 + 64 + 1)


def test_the_frozen_decoder_is_the_only_thing_frozen() -> None:
    net = make_net(train_decoder=False)
    frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
    assert frozen == {f"decoder.{name}" for name, _ in net.decoder.named_parameters()}


@given(seed=st.integers(0, 1000), agents=st.integers(2, 8), tau=st.sampled_from([1.0, 0.5]))
def test_edges_are_symmetric_and_reach_both_ends_of_their_range(seed: int, agents: int, tau: float) -> None:
    inputs = random_inputs(3, agents, seed=seed)
    out = make_net(seed=seed, tau=tau).read(inputs, torch.arange(3))
    low, high = torch.tensor([-1 / tau, 1 / tau]).sigmoid().tolist()
    torch.testing.assert_close(out.edges, out.edges.transpose(1, 2), atol=1e-5, rtol=0)
    for a in out.edges:
        assert a.min().item() == pytest.approx(low, abs=1e-4)
        assert a.max().item() == pytest.approx(high, abs=1e-4)
    if tau == 1:
        assert low == pytest.approx(0.2689, abs=1e-4) and high == pytest.approx(0.7311, abs=1e-4)


def test_propagation_is_a_graph_convolution() -> None:
    from torch_geometric.nn import GCNConv

    g = torch.Generator().manual_seed(3)
    links = torch.rand((6, 6), generator=g) < 0.4
    links.fill_diagonal_(False)
    x = torch.randn(6, 4, generator=g)
    convolution = GCNConv(4, 3)
    expected = convolution(x, links.nonzero().T)
    got = propagation(links) @ (x @ convolution.lin.weight.T) + convolution.bias
    torch.testing.assert_close(got, expected)


def test_a_forward_pass_is_that_of_the_definition() -> None:
    net, inputs = make_net(), random_inputs()
    q, p = inputs.queries[2], inputs.propagation
    x = torch.stack([torch.cat((role, q)) for role in inputs.roles])
    h = (p @ x @ net.first.weight.T + net.first.bias).relu()
    z0 = (p @ h @ net.second.weight.T + net.second.bias).log_softmax(1)
    z = net.decoder[2](net.decoder[0](z0).relu())
    s = z @ z.T
    s = 2 * (s - s.min()) / (s.max() - s.min()) - 1
    out = net.read(inputs, torch.tensor([2]))
    torch.testing.assert_close(out.edges[0], s.sigmoid(), atol=1e-5, rtol=1e-4)
    assert net.masker is not None
    torch.testing.assert_close(out.keep[0], net.masker(h).squeeze(1).sigmoid())


def test_renumbering_agents_renumbers_the_output() -> None:
    inputs, order = random_inputs(), torch.tensor([3, 0, 4, 1, 2])
    turned = PaperInputs.of(inputs.queries, inputs.roles[order])
    net, rows = make_net(), torch.arange(7)
    out, other = net.read(inputs, rows), net.read(turned, rows)
    torch.testing.assert_close(other.edges, out.edges[:, order][:, :, order], atol=1e-5, rtol=0)
    torch.testing.assert_close(other.keep, out.keep[:, order])


def test_the_mask_is_hard_and_its_gradient_that_of_the_probability() -> None:
    logits = torch.tensor([[1.0, 0.1, -1.0]], requires_grad=True)
    mask = PaperOutput(torch.zeros(1, 3, 3), logits).mask()
    assert mask.tolist() == [[1.0, 0.0, 0.0]]
    (got,) = torch.autograd.grad(mask.sum(), logits)
    (expected,) = torch.autograd.grad(logits.sigmoid().sum(), logits)
    torch.testing.assert_close(got, expected)


def test_no_two_roles_are_tied_to_all_others() -> None:
    g = torch.Generator().manual_seed(0)
    for n in range(1, 7):
        links = role_graph(torch.randn(n, 8, generator=g))
        assert not links.diagonal().any()
        assert links.sum(1).tolist() == [min(2, max(n - 2, 0))] * n


@given(st.data())
def test_every_decoded_graph_is_acyclic_and_holds_kept_agents_only(data: st.DataObject) -> None:
    n, seed = data.draw(st.integers(1, 6)), data.draw(st.integers(0, 10_000))
    g = torch.Generator().manual_seed(seed)
    shape = (4, n, n)
    edges = (torch.randn(shape, generator=g), torch.randn(4, n, generator=g))
    out = PaperOutput(*edges)
    uniform = torch.rand(shape, generator=g) if data.draw(st.booleans()) else None
    graphs = decode(out, uniform=uniform)
    names = [f"a{i}" for i in range(n)]
    above = out.keep > 0.55
    for r in range(4):
        try:
            made = Shape().task_graph(names, graphs.keep[r], graphs.edges[r])
        except GraphError as error:  # pragma: no cover - what is tested
            pytest.fail(str(error))
        wanted = above[r] if above[r].any() else out.keep[r] == out.keep[r].max()
        assert set(made.agents) == {name for name, kept in zip(names, wanted.tolist(), strict=True) if kept}


def test_without_edges_the_kept_agents_work_in_parallel() -> None:
    out = PaperOutput(torch.full((1, 3, 3), -1.0), torch.tensor([[2.0, -2.0, 2.0]]))
    graphs = decode(out)
    assert not graphs.edges.any() and graphs.outputs.tolist() == [[True, False, True]]


def test_a_sampled_decoding_draws_an_edge_with_its_probability() -> None:
    out = PaperOutput(torch.full((4000, 2, 2), 0.5), None)
    graphs = decode(out, uniform=torch.rand((4000, 2, 2), generator=torch.Generator().manual_seed(0)))
    p = torch.tensor(0.5).sigmoid().item()
    assert graphs.edges[:, 0, 1].float().mean().item() == pytest.approx(p, abs=0.03)
    # The way back is free only where the way there was not drawn.
    assert graphs.edges[:, 1, 0].float().mean().item() == pytest.approx(p * (1 - p), abs=0.03)
