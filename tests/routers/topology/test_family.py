"""What the learned methods of the family learn, in an environment whose best graph is known."""

from __future__ import annotations

import pytest
import torch

from agentnet.errors import InvalidInput
from agentnet.routers.gnn.training import seeded
from agentnet.routers.topology.designer import gdesigner, make_net
from agentnet.routers.topology.graphs import Graphs
from agentnet.routers.topology.learned import LEARNED, Learned, learn
from agentnet.routers.topology.paper_net import PaperInputs
from agentnet.routers.topology.reinforce import Lesson, reinforce
from agentnet.routers.topology.static import (
    Chances,
    StaticEdges,
    agentdropout,
    agentprune,
    drop_agent,
    gptswarm,
)

from .doubles import Puzzle, puzzle

NAMES = ("a", "b", "c", "d")
BEST = [(0, 2), (1, 2), (3, 2), (3, 0)]


def lesson(env: Puzzle, **settings: object) -> Lesson:
    return Lesson(env=env, tasks=torch.arange(env.n), **settings)  # type: ignore[arg-type]


def sampled_score(env: Puzzle, chances: Chances) -> float:
    """Mean score of graphs drawn by the chances, whatever was shuffled."""
    from agentnet.routers.topology.sampler import sample_visit

    rows = torch.zeros(2000, dtype=torch.long)
    draw = sample_visit(
        chances.edges.expand(2000, -1, -1), chances.keep.expand(2000, -1), torch.Generator().manual_seed(0)
    )
    graphs = Graphs.joined(draw.keep, draw.edges, env.join)
    return float(env.score(rows, graphs.keep, graphs.edges).mean())


def test_gptswarm_finds_the_best_graph() -> None:
    env = puzzle(NAMES, 6, BEST)
    site = Learned(gptswarm(lesson(env, rollouts=8))).site(NAMES, NAMES, dict.fromkeys(NAMES, 0.5), None)
    graphs, _ = site.graphs(1, None, None, "sinks")
    assert torch.equal(graphs.edges[0], env.best_edges[0]) and graphs.keep.all()


def test_gptswarm_learns_from_one_graph_a_task_as_in_the_paper() -> None:
    env = puzzle(NAMES, 6, BEST)
    before = sampled_score(env, StaticEdges(torch.ones(4, dtype=torch.bool)).chances())
    assert sampled_score(env, gptswarm(lesson(env))) > before + 0.15
    assert env.rollouts == 200 * 4


@pytest.mark.parametrize("method", [m for m in LEARNED if m != "gdesigner"])
def test_shuffled_scores_teach_nothing(method: str) -> None:
    gains = {}
    for shuffled in (False, True):
        env = puzzle(NAMES, 6, BEST, left_out=(), shuffled=shuffled)
        found = learn(method, lesson(env, rollouts=32, steps=25, seed=1), None, None).chances
        before = sampled_score(env, StaticEdges(torch.ones(4, dtype=torch.bool)).chances())
        assert found is not None
        whole = Chances(found.edges, torch.ones(4, dtype=torch.bool))
        gains[shuffled] = sampled_score(env, whole) - before
    assert gains[False] > gains[True] + 0.05, gains


def test_agentprune_prunes_a_quarter_twice_and_what_it_prunes_is_worse() -> None:
    env = puzzle(NAMES, 6, BEST)
    found = agentprune(lesson(env, rollouts=16))
    gone = (found.edges == 0).sum().item() - len(NAMES)
    assert gone == 5  # 12 pairs: 3, then a quarter of 9
    right = sum(float(found.edges[pair]) > 0 for pair in BEST)
    assert right >= 3
    assert env.rollouts == 10 * 4 * 16


def test_pruning_takes_the_lowest_and_never_the_same_twice() -> None:
    policy = StaticEdges(torch.ones(3, dtype=torch.bool))
    with torch.no_grad():
        policy.logits.copy_(torch.tensor([[9.0, 3, 1], [0, -9, 2], [4, 5, 9]]))
    policy.prune(1 / 3)
    assert policy.allowed.int().tolist() == [[0, 1, 0], [0, 0, 1], [1, 1, 0]]
    policy.prune(0.01)
    assert policy.allowed.sum() == 3 and not policy.allowed[1, 2]


def test_the_low_rank_penalty_is_nuclear_norm_plus_hinge() -> None:
    policy = StaticEdges(torch.ones(3, dtype=torch.bool))
    adjacency = policy.allowed.clone()
    assert policy.low_rank(adjacency).item() == pytest.approx(6**0.5 - 0.1, abs=1e-5)
    values = torch.tensor([[0.0, 2, 1], [0, 0, 2], [1, 0, 0]])
    with torch.no_grad():
        policy.logits.copy_(values)
    nuclear = torch.linalg.svdvals(values).sum()
    apart = ((values - adjacency.float()) ** 2).sum().sqrt()
    assert policy.low_rank(adjacency).item() == pytest.approx(float(nuclear + apart - 0.1), rel=1e-5)
    (gradient,) = torch.autograd.grad(policy.low_rank(adjacency), policy.logits)
    assert gradient.isfinite().all()


def test_the_low_rank_penalty_presses_in_training() -> None:
    env = puzzle(NAMES, 6, BEST)
    values = []
    for pressed in (False, True):
        policy = StaticEdges(torch.ones(4, dtype=torch.bool))
        adjacency = policy.allowed.clone()

        def penalty(policy: StaticEdges = policy, adjacency: torch.Tensor = adjacency) -> torch.Tensor:
            return policy.low_rank(adjacency)

        reinforce(
            policy, lesson(env), steps=20, batch=4, baseline=False, label="x",
            penalty=penalty if pressed else None,
        )  # fmt: skip
        values.append(penalty().item())
    assert values[1] < values[0]
    assert not torch.equal(agentprune(lesson(env)).edges, agentprune(lesson(env), low_rank=True).edges)


def test_agentdropout_drops_the_agent_that_nobody_needs() -> None:
    env = puzzle(NAMES, 6, [(0, 2), (1, 2), (0, 1)], left_out=(3,))
    found = agentdropout(lesson(env, rollouts=16, steps=20))
    assert found.keep.tolist() == [True, True, True, False]
    assert not found.edges[3].any() and not found.edges[:, 3].any()
    assert (found.edges > 0).sum() == 5  # of 6 pairs a tenth, which is one


def test_two_agents_are_never_dropped() -> None:
    assert drop_agent(StaticEdges(torch.ones(2, dtype=torch.bool))).all()
    found = agentdropout(lesson(puzzle(("a",), 3, [])))
    assert found.keep.tolist() == [True]


def by_task(rows: int = 40, shuffled: bool = False) -> tuple[Puzzle, PaperInputs]:
    """Half of the tasks want all edges from a, the others none of them."""
    env = puzzle(NAMES, rows, [], shuffled=shuffled)
    kind = torch.arange(rows) % 2
    env.best_edges[kind == 0, 0, 1:] = True
    env.best_edges[kind == 1, 1, 2:] = True
    g = torch.Generator().manual_seed(0)
    queries = 0.1 * torch.randn(rows, 8, generator=g)
    queries[torch.arange(rows), kind] += 1
    return env, PaperInputs.of(queries, torch.eye(4, 8) + 0.0, torch.zeros(4, 4, dtype=torch.bool))


def task_score(env: Puzzle, inputs: PaperInputs, net: torch.nn.Module) -> float:
    from agentnet.routers.topology.sampler import sample_visit

    rows = torch.arange(env.n).repeat_interleave(100)
    with torch.no_grad():
        edges = net.read(inputs, rows).edges  # type: ignore[operator]
    draw = sample_visit(edges, torch.ones(len(rows), 4, dtype=torch.bool), torch.Generator().manual_seed(1))
    graphs = Graphs.joined(draw.keep, draw.edges, env.join)
    return float(env.score(rows, graphs.keep, graphs.edges).mean())


@pytest.mark.parametrize("shuffled", [False, True])
def test_gdesigner_fits_the_graph_to_the_task(shuffled: bool) -> None:
    env, inputs = by_task(shuffled=shuffled)
    gains = []
    for seed in range(3):
        with seeded(seed):
            before = task_score(env, inputs, make_net(8).eval())
        net = gdesigner(lesson(env, rollouts=16, steps=80, batch=16, lr=0.02, seed=seed), inputs)
        gains.append(task_score(env, inputs, net) - before)
    assert max(gains) < 0.03 if shuffled else min(gains) > 0.03, gains


@pytest.mark.parametrize("method", LEARNED)
def test_learning_is_a_function_of_the_seed(method: str) -> None:
    env, inputs = by_task(8)
    vectors = inputs.queries.numpy(), inputs.roles.numpy()
    found = [learn(method, lesson(env, seed=seed, steps=5), *vectors).arrays() for seed in (0, 0, 1)]
    assert all((found[0][name] == found[1][name]).all() for name in found[0])
    assert any((found[0][name] != found[2][name]).any() for name in found[0])


def test_a_price_makes_the_utility() -> None:
    env = puzzle(NAMES, 4, BEST)
    seen = []

    class Watch(StaticEdges):
        def edge_logits(self, tasks: torch.Tensor) -> torch.Tensor:
            seen.append(tasks.tolist())
            return super().edge_logits(tasks)

    policy = Watch(torch.ones(4, dtype=torch.bool))
    # Every graph costs 4 agents: at this price each utility is below 0, and what was drawn becomes rarer.
    reinforce(policy, lesson(env, price=10.0), steps=1, batch=1, baseline=False, label="x")
    drawn = policy.logits.detach().sign()
    cheap = Watch(torch.ones(4, dtype=torch.bool))
    reinforce(cheap, lesson(env), steps=1, batch=1, baseline=False, label="x")
    assert torch.equal(drawn, -cheap.logits.detach().sign()) and (drawn != 0).any()
    assert seen[0] == seen[1]


def test_tasks_come_in_one_order_over_and_over() -> None:
    env = puzzle(NAMES, 6, BEST)
    seen: list[int] = []

    class Watch(StaticEdges):
        def edge_logits(self, tasks: torch.Tensor) -> torch.Tensor:
            seen.extend(tasks.tolist())
            return super().edge_logits(tasks)

    reinforce(Watch(torch.ones(4, dtype=torch.bool)), lesson(env), steps=3, batch=4, baseline=True, label="x")
    assert sorted(seen[:6]) == list(range(6)) and seen[:6] == seen[6:]


def test_there_must_be_a_task() -> None:
    with pytest.raises(InvalidInput, match="at least one task"):
        gptswarm(lesson(puzzle(NAMES, 0, [])))
