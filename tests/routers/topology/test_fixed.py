"""Topologies that nobody learned."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agentnet.routers.topology.fixed import FIXED, fixed_edges, task_noise
from agentnet.routers.topology.graphs import Shape


def pairs(edges: torch.Tensor) -> list[list[int]]:
    found: list[list[int]] = edges.nonzero().tolist()
    return found


def test_chain_star_and_complete_end_with_the_last_agent() -> None:
    assert pairs(fixed_edges("chain", 4)) == [[0, 1], [1, 2], [2, 3]]
    assert pairs(fixed_edges("star", 4)) == [[0, 3], [1, 3], [2, 3]]
    assert pairs(fixed_edges("complete", 3)) == [[0, 1], [0, 2], [1, 2]]
    with pytest.raises(ValueError, match="noise"):
        fixed_edges("random", 3)


@given(kind=st.sampled_from(FIXED), n=st.integers(1, 7), seed=st.integers(0, 1000), density=st.floats(0, 1))
def test_every_fixed_topology_is_acyclic(kind: str, n: int, seed: int, density: float) -> None:
    noise = task_noise("task", seed, (n, n + 1))
    edges = fixed_edges(kind, n, density=density, noise=noise)  # type: ignore[arg-type]
    made = Shape().task_graph([f"a{i}" for i in range(n)], torch.ones(n, dtype=torch.bool), edges)
    assert len(made.nodes) == n  # a cycle would have been refused
    if kind in ("chain", "star"):
        assert len(made.edges) == n - 1 and made.outputs == (f"a{n - 1}",)


def test_random_graphs_have_the_density_and_favour_nobody() -> None:
    found = torch.stack(
        [fixed_edges("random", 5, density=0.3, noise=task_noise(f"{i}", 0, (5, 6))) for i in range(3000)]
    )
    assert found.sum((1, 2)).float().mean().item() == pytest.approx(0.3 * 10, abs=0.1)
    each = found.float().mean(0)[~torch.eye(5, dtype=torch.bool)]
    assert each.min().item() > 0.15 - 0.03 and each.max().item() < 0.15 + 0.03


def test_noise_hangs_on_text_and_seed() -> None:
    one = task_noise("x", 0, (3, 4))
    assert torch.equal(one, task_noise("x", 0, (3, 4)))
    assert not torch.equal(one, task_noise("y", 0, (3, 4)))
    assert not torch.equal(one, task_noise("x", 1, (3, 4)))
    assert ((one >= 0) & (one < 1)).all()
    task_noise("\ud800", 0, (1,))  # no valid UTF-8
