"""Samplers draw acyclic graphs with the probabilities they tell, checked by counting all graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from agentnet.graphs import sampling
from agentnet.routers.topology.environment import Returns
from agentnet.routers.topology.gradient import Policy, policy_loss
from agentnet.routers.topology.graphs import Graphs, Join
from agentnet.routers.topology.sampler import (
    Draw,
    forward_pairs,
    log_edges,
    log_plackett_luce,
    log_prob_ordered,
    sample_ordered,
    sample_visit,
)

Logits = tuple[Tensor, Tensor, Tensor]


def logits_of(n: int, seed: int = 0, r: int = 1, spread: float = 1.0) -> Logits:
    """[r, n], [r, n], [r, n, n] in float64."""
    g = torch.Generator().manual_seed(seed)
    shapes = ((r, n), (r, n), (r, n, n))
    keep, order, edge = (torch.randn(s, generator=g, dtype=torch.float64) * spread for s in shapes)
    return keep, order, edge


def repeat(logits: Logits, r: int) -> Logits:
    keep, order, edge = (part.expand(r, *part.shape[1:]) for part in logits)
    return keep, order, edge


def subsets(pairs: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    for chosen in product([False, True], repeat=len(pairs)):
        yield [pair for pair, taken in zip(pairs, chosen, strict=True) if taken]


def everything(n: int) -> Draw:
    """All (kept agents, order, edges) that `sample_ordered` can draw."""
    found = []
    for kept in product([False, True], repeat=n):
        if not any(kept):
            continue
        for order in permutations(range(n)):
            pairs = [(a, b) for k, a in enumerate(order) for b in order[k + 1 :] if kept[a] and kept[b]]
            found += [(kept, order, edges) for edges in subsets(pairs)]
    keep = torch.tensor([kept for kept, _, _ in found])
    order = torch.tensor([order for _, order, _ in found])
    edges = torch.zeros(len(found), n, n, dtype=torch.bool)
    for r, (_, _, chosen) in enumerate(found):
        for i, j in chosen:
            edges[r, i, j] = True
    return Draw(keep, edges, forward_pairs(order) & keep[:, :, None] & keep[:, None, :], order)


def numbers(*parts: Tensor) -> list[tuple[int, ...]]:
    """Each row as one hashable key."""
    flat: list[tuple[int, ...]] = torch.cat([part.flatten(1).long() for part in parts], 1).tolist()
    return [tuple(row) for row in flat]


def tally(keys: list[tuple[int, ...]], chance: Tensor) -> dict[tuple[int, ...], float]:
    total: Counter[tuple[int, ...]] = Counter()
    for key, p in zip(keys, chance.tolist(), strict=True):
        total[key] += p
    return total


def check_frequencies(seen: list[tuple[int, ...]], expected: dict[tuple[int, ...], float]) -> None:
    """Chi-square within four standard deviations; rare outcomes are counted together."""
    count, n = Counter(seen), len(seen)
    assert set(count) <= set(expected), "something was drawn that cannot be"
    common = [key for key, p in expected.items() if p * n >= 5]
    pairs = [(count[key], expected[key] * n) for key in common]
    rest = n - sum(p for _, p in pairs)
    if rest >= 5:
        pairs.append((n - sum(c for c, _ in pairs), rest))
    df = len(pairs) - 1
    if df == 0:
        return
    chi = sum((c - p) ** 2 / p for c, p in pairs)
    # Wilson and Hilferty: the cube root of chi-square over df is close to normal.
    z = ((chi / df) ** (1 / 3) - (1 - 2 / (9 * df))) / (2 / (9 * df)) ** 0.5
    assert z < 4, (chi, df)


def acyclic(edges: Tensor) -> bool:
    n = edges.shape[-1]
    power = edges.double()
    for _ in range(n):
        power = (power @ edges.double()).clamp(max=1)
    return not power.any()


@given(st.integers(0, 9999), st.integers(1, 10), st.sampled_from([0.0, 1.0, 5.0]))
def test_every_draw_is_acyclic_between_kept_agents(seed: int, n: int, spread: float) -> None:
    keep, order, edge = logits_of(n, seed, 32, spread)
    generator = torch.Generator().manual_seed(seed)
    ordered = sample_ordered(keep, order, edge, generator)
    for draw in (ordered, sample_visit(edge.sigmoid(), ordered.keep, generator)):
        assert acyclic(draw.edges)
        assert not (draw.edges & ~draw.open).any()
        assert not (draw.open & ~(draw.keep[:, :, None] & draw.keep[:, None, :])).any()
        assert draw.keep.any(1).all()
        assert (draw.order.sort(1).values == torch.arange(n)).all()
    # Each pair of kept agents is open one way round.
    both = ordered.open | ordered.open.transpose(1, 2)
    apart = ~torch.eye(n, dtype=torch.bool)
    assert torch.equal(both, ordered.keep[:, :, None] & ordered.keep[:, None, :] & apart)
    assert not (ordered.open & ordered.open.transpose(1, 2)).any()


def test_a_draw_depends_on_the_seed_alone() -> None:
    many = repeat(logits_of(5), 50)
    one, two, other = (sample_ordered(*many, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(one.edges, two.edges)
    assert torch.equal(one.order, two.order)
    assert not torch.equal(one.edges, other.edges)


@pytest.mark.parametrize(("n", "count"), [(1, 1), (2, 8), (3, 102), (4, 2688)])
@pytest.mark.parametrize("lean", [0.0, -2.0, -30.0])
def test_probabilities_sum_to_one(n: int, count: int, lean: float) -> None:
    """Also where nearly every draw keeps nobody, so that one agent is put back."""
    keep, order, edge = logits_of(n)
    actions = everything(n)
    assert len(actions.keep) == count
    chance = log_prob_ordered(actions, *repeat((keep + lean, order, edge), count)).exp()
    assert float(chance.sum()) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("n", [3, 4])
@pytest.mark.parametrize("lean", [0.0, -1.5])
def test_frequencies_are_the_told_probabilities(n: int, lean: float) -> None:
    keep, order, edge = logits_of(n, seed=n)
    logits = (keep + lean, order, edge)
    actions, r = everything(n), 40_000
    chance = log_prob_ordered(actions, *repeat(logits, len(actions.keep))).exp()
    draw = sample_ordered(*repeat(logits, r), torch.Generator().manual_seed(5))
    views: list[Callable[[Draw], list[tuple[int, ...]]]] = [
        lambda d: numbers(d.keep),
        lambda d: numbers(d.order),
        lambda d: numbers(d.edges),
        lambda d: numbers(d.keep, d.order, d.edges),
    ]
    for view in views:
        check_frequencies(view(draw), tally(view(actions), chance))


def test_frequencies_would_show_a_wrong_probability() -> None:
    """The check above can fail: the same draws against slightly other logits."""
    keep, order, edge = logits_of(3)
    draw = sample_ordered(*repeat((keep, order, edge), 40_000), torch.Generator().manual_seed(5))
    actions = everything(3)
    for logits in ((keep + 0.2, order, edge), (keep, order * 1.5, edge), (keep, order, edge + 0.2)):
        chance = log_prob_ordered(actions, *repeat(logits, 102)).exp()
        with pytest.raises(AssertionError):
            check_frequencies(
                numbers(draw.keep, draw.order, draw.edges),
                tally(numbers(actions.keep, actions.order, actions.edges), chance),
            )


def test_log_probability_by_hand() -> None:
    draw = Draw(
        keep=torch.tensor([[True, True, False]]),
        edges=torch.tensor([[[0, 0, 0], [1, 0, 0], [0, 0, 0]]]).bool(),
        open=torch.tensor([[[0, 0, 0], [1, 0, 0], [0, 0, 0]]]).bool(),
        order=torch.tensor([[1, 2, 0]]),
    )
    keep, order, edge = logits_of(3)
    k, o, e = keep[0].sigmoid(), order[0].exp(), edge[0].sigmoid()
    by_hand = k[0] * k[1] * (1 - k[2]) * o[1] / o.sum() * o[2] / (o[0] + o[2]) * e[1, 0]
    assert float(log_prob_ordered(draw, keep, order, edge)) == pytest.approx(float(by_hand.log()))


@pytest.mark.parametrize("lean", [0.0, -2.0])
def test_gradients_of_log_probabilities(lean: float) -> None:
    """Against finite differences, also of draws that the rule of at least one agent made."""
    keep, order, edge = logits_of(4, r=20)
    keep = keep + lean
    draw = sample_ordered(keep, order, edge, torch.Generator().manual_seed(0))
    assert bool((draw.keep.sum(1) == 1).any()) or lean == 0
    inputs = [part.clone().requires_grad_() for part in (keep, order, edge)]
    assert torch.autograd.gradcheck(lambda k, o, e: log_prob_ordered(draw, k, o, e), inputs)


def test_gradients_stay_finite_where_probabilities_vanish() -> None:
    inputs = [torch.tensor([[-60.0, -80.0]]), torch.tensor([[90.0, -90.0]]), torch.full((1, 2, 2), 95.0)]
    inputs = [part.requires_grad_() for part in inputs]
    keep = torch.tensor([[False, True]])
    nothing = torch.zeros(1, 2, 2, dtype=torch.bool)
    for one in (
        Draw(keep, nothing, nothing, torch.tensor([[1, 0]])),
        Draw(~keep, nothing, nothing, torch.tensor([[0, 1]])),
        Draw(keep | ~keep, nothing, torch.tensor([[[0, 1], [0, 0]]]).bool(), torch.tensor([[0, 1]])),
    ):
        value = log_prob_ordered(one, *inputs).sum()
        assert bool(value.isfinite())
        assert all(bool(g.isfinite().all()) for g in torch.autograd.grad(value, inputs))


class Given:
    """A generator that hands out numbers made before."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def random(self, size: int) -> np.ndarray:
        assert size == len(self.values)
        return self.values


@given(st.integers(0, 9999), st.integers(1, 7), st.sampled_from([-2.0, 0.0, 3.0]))
def test_visits_are_those_of_one_graph_at_a_time(seed: int, n: int, lean: float) -> None:
    keep, _, edge = logits_of(n, seed, 6)
    chance, kept = (edge + lean).sigmoid().float(), keep > -1
    draw = sample_visit(chance, kept, torch.Generator().manual_seed(seed))
    # The same uniform numbers, row by row without the diagonal.
    uniform = torch.rand((6, n, n), generator=torch.Generator().manual_seed(seed))
    apart = ~np.eye(n, dtype=bool)
    told = log_edges(draw.edges, draw.open, chance.double().logit())
    for r in range(6):
        rng = Given(uniform[r].double().numpy()[apart])
        one = sampling.sample_visit(chance[r].double().numpy(), rng, keep=kept[r].numpy())  # type: ignore[arg-type]
        assert np.array_equal(one.edges, draw.edges[r].numpy())
        assert np.array_equal(one.open, draw.open[r].numpy())
        assert float(told[r]) == pytest.approx(one.log_prob, abs=1e-6)


# -- no favourites -----------------------------------------------------------------------------
def test_permuted_agents_have_permuted_probabilities() -> None:
    """Whatever the logits: the ordered sampler's probabilities do not depend on places in the pool."""
    actions, logits = everything(4), logits_of(4)
    keep, order, edge = repeat(logits, len(actions.keep))
    chance = log_prob_ordered(actions, keep, order, edge)
    turn = torch.tensor([2, 0, 3, 1])  # the new place i holds the old agent turn[i]
    back = turn.argsort()
    turned = Draw(
        actions.keep[:, turn],
        actions.edges[:, turn][:, :, turn],
        actions.open[:, turn][:, :, turn],
        back[actions.order],
    )
    again = log_prob_ordered(turned, keep[:, turn], order[:, turn], edge[:, turn][:, :, turn])
    assert torch.allclose(chance, again)


def test_order_has_no_favourites_among_equals_and_visits_have() -> None:
    n, r = 4, 20_000
    zero, half = torch.zeros(r, n), torch.full((r, n, n), 0.5)
    everyone = torch.ones(r, n, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    apart, upper = ~torch.eye(n, dtype=torch.bool), torch.ones(n, n).triu(1).bool()
    # Every pair runs either way in half of the orders, and has an edge in half of these.
    ordered = sample_ordered(zero + 99, zero, half - 0.5, generator).edges.double().mean(0)[apart]
    assert (ordered - 0.25).abs().max() < 4 * (0.25 * 0.75 / r) ** 0.5
    visited = sample_visit(half, everyone, generator).edges.double().mean(0)
    assert visited[upper].min() > visited.T[upper].max() + 0.1
    assert visited[0, 1].item() == pytest.approx(0.5, abs=4 * 0.5 / r**0.5)


# -- learning ----------------------------------------------------------------------------------
class Table:
    """Any graph of three agents has a score of its own, which hangs together with nothing."""

    agents = ("a", "b", "c")
    n, messages, unit = 1, True, 2.0
    join: Join = "sinks"

    def __init__(self) -> None:
        g = torch.Generator().manual_seed(3)
        self.score = torch.rand(2**12, generator=g, dtype=torch.float64)
        self.cost = torch.rand(2**12, generator=g, dtype=torch.float64)

    def run(self, tasks: Tensor, graphs: Graphs, generator: torch.Generator) -> Returns:
        bits = torch.cat([graphs.keep, graphs.edges.flatten(1)], 1).long()
        at = (bits * 2 ** torch.arange(12)).sum(1)
        return Returns(self.score[at], self.cost[at])


def test_the_policy_gradient_is_that_of_the_expected_utility() -> None:
    env, rate = Table(), 0.5
    keep, order, edge = (part.requires_grad_() for part in logits_of(3, seed=1))
    leaves = [keep, order, edge]
    actions = everything(3)
    generator = torch.Generator().manual_seed(0)
    graphs = Graphs.joined(actions.keep, actions.edges, env.join)
    found = env.run(torch.zeros(102, dtype=torch.long), graphs, generator)
    utility = (found.score - rate * found.cost / env.unit) / (1 + rate)
    chance = log_prob_ordered(actions, *repeat((keep, order, edge), 102)).exp()
    exact = torch.cat([g.flatten() for g in torch.autograd.grad((chance * utility).sum(), leaves)])

    def estimate(samples: int) -> Tensor:
        b = 2000
        loss = policy_loss(
            Policy(*repeat((keep, order, edge), b)),
            env,
            torch.zeros(b, dtype=torch.long),
            torch.full((b,), rate, dtype=torch.float64),
            samples=samples,
            entropy=0.0,
            generator=generator,
        )
        return torch.cat([-g.flatten() for g in torch.autograd.grad(loss, leaves)])

    for samples in (2, 8):
        many = torch.stack([estimate(samples) for _ in range(30)])
        error = many.std(0) / len(many) ** 0.5
        known = exact.abs() > 1e-12  # the diagonal of the edges has no part in anything
        assert bool(((many.mean(0) - exact).abs()[known] < 4.5 * error[known]).all())
        assert bool((many[:, ~known] == 0).all())
        # Small beside the gradient itself, so that a wrong one would be noticed.
        assert float(error.norm() / exact.norm()) < 0.1


def test_plackett_luce_takes_the_first_in_proportion() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0]], dtype=torch.float64)
    orders = torch.tensor(list(permutations(range(3))))
    chance = log_plackett_luce(orders, logits.expand(6, 3)).exp()
    for first in range(3):
        share = chance[orders[:, 0] == first].sum()
        assert float(share) == pytest.approx(float(logits.softmax(1)[0, first]))
