"""Policies over graphs: decoding never makes a cycle, and a few steps find what is planted."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.routers.topology.gradient import Policy, bernoulli_entropy, decoded, leave_one_out, policy_loss

from .doubles import puzzle
from .test_bank import acyclic


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 8))
def test_decoded_graphs_are_acyclic_and_of_kept_agents(seed: int, n: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    policy = Policy(*(torch.randn(shape, generator=generator) for shape in ((9, n), (9, n), (9, n, n))))
    keep, edges = policy.decode()
    assert keep.any(1).all()
    for k, e in zip(keep, edges, strict=True):
        assert acyclic(e) and not (e & ~(k[:, None] & k[None])).any()


def test_a_sample_is_compared_with_the_mean_of_the_others() -> None:
    utility = torch.rand(4, 5, generator=torch.Generator().manual_seed(0))
    for row, told in zip(utility, leave_one_out(utility), strict=True):
        for s in range(5):
            others = torch.cat((row[:s], row[s + 1 :])).mean()
            assert abs(float(told[s] - (row[s] - others))) < 1e-6


def test_the_entropy_is_highest_where_nothing_is_known() -> None:
    def of(logit: float) -> float:
        return float(bernoulli_entropy(Policy(torch.full((1, 3), logit), torch.zeros(1, 3),
                                              torch.full((1, 3, 3), logit))))  # fmt: skip

    assert abs(of(0.0) - 2 * torch.log(torch.tensor(2.0)).item()) < 1e-5
    assert of(0.0) > of(1.0) > of(5.0) > 0


def test_steps_along_the_gradient_find_the_planted_agents() -> None:
    env = puzzle(("a", "b", "c"), 4, [(0, 2)], left_out=(1,))
    generator = torch.Generator().manual_seed(0)
    numbers = [torch.zeros(shape, requires_grad=True) for shape in ((1, 3), (1, 3), (1, 3, 3))]
    optimiser = torch.optim.Adam(numbers, lr=0.1)
    for _ in range(60):
        policy = Policy(*(part.expand(4, *part.shape[1:]) for part in numbers))
        loss = policy_loss(
            policy, env, torch.arange(4), torch.zeros(4), samples=16, entropy=0.0, generator=generator
        )
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    found = decoded(Policy(*(part.detach() for part in numbers)), env)
    assert found.keep[0].tolist() == [True, False, True]
    assert found.edges[0, 0, 2]
