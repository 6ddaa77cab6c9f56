"""`recipe="paper"` as a pruner: labels from logs, other pools, the disk."""

from __future__ import annotations

import torch

from agentnet.routers.topology.critic import roll_out
from agentnet.routers.topology.learning import Lesson, Training
from agentnet.routers.topology.network import Agents
from agentnet.routers.topology.paper import PaperPruner, PaperRecipe
from agentnet.routers.topology.paper_stages import StageOne, StageTwo
from agentnet.routers.topology.parts import LoggedParts
from agentnet.routers.topology.start import prior_graphs

from .doubles import puzzle
from .test_bank import acyclic

NAMES = ("a", "b", "c")
RECIPE = PaperRecipe(one=StageOne(iterations=2), two=StageTwo(steps=4), budget=600)
TRAINING = Training(0, "cpu", None, "test")


def lesson(*, logged: bool = False) -> Lesson:
    env = puzzle(NAMES, 12, [(0, 2)], left_out=(1,))
    roles = torch.eye(3, 16)
    log = None
    if logged:
        generator = torch.Generator().manual_seed(0)
        runs = roll_out(env, torch.arange(600) % 12, prior_graphs(3, 600, "sinks", generator), generator)
        log = LoggedParts(NAMES, ({},) * 12, ({},) * 12, runs)
    return Lesson(
        tasks=torch.randn(12, 16, generator=torch.Generator().manual_seed(0)),
        agents=Agents(roles, torch.rand(3, 3)), names=NAMES, train=torch.arange(9), val=torch.arange(9, 12),
        env=None if logged else env, logged=log, join="sinks", unit=1.0,
    )  # fmt: skip


def test_it_learns_whom_to_leave_out_in_an_environment_and_from_a_log() -> None:
    for logged in (False, True):
        given = lesson(logged=logged)
        pruner, told = PaperPruner.learn(given, RECIPE, TRAINING)
        assert told["labels"] == 18, "two a training task"
        assert told["label_keep_rate"] < 0.9
        picked = pruner.pick(given.tasks, 0.0)
        assert all(acyclic(edges) for edges in picked.graphs.edges)
        assert pruner.expect(given.tasks[0], picked.graphs) is None
        assert (pruner.level != pruner.level) is logged, "a log says nothing of graphs that it does not hold"


def test_the_price_is_not_looked_at() -> None:
    given = lesson()
    pruner, _ = PaperPruner.learn(given, RECIPE, TRAINING)
    free, dear = pruner.pick(given.tasks, 0.0), pruner.pick(given.tasks, 9.0)
    assert torch.equal(free.graphs.edges, dear.graphs.edges)


def test_any_pool_is_read_by_roles_and_known_agents_come_first() -> None:
    given = lesson()
    pruner, _ = PaperPruner.learn(given, RECIPE, TRAINING)
    assert pruner.seated(("c", "b", "a"), given.agents.roles.flip(0)).names == NAMES
    roles = torch.eye(5, 16)
    wider = pruner.seated(("z", "c", "y", "a", "b"), roles)
    assert wider.names == ("a", "b", "c", "y", "z")
    assert torch.equal(wider.roles[0], roles[3]) and torch.equal(wider.roles[4], roles[0])
    graphs = wider.pick(given.tasks, 0.0).graphs
    assert graphs.keep.shape == (12, 5) and graphs.keep.any(1).all()
    assert pruner.seated(("x",), roles[:1]).pick(given.tasks, 0.0).graphs.keep.all()


def test_it_survives_the_disk() -> None:
    for logged in (False, True):
        given = lesson(logged=logged)
        pruner, _ = PaperPruner.learn(given, RECIPE, TRAINING)
        again = PaperPruner.restore(*pruner.state())
        mine, other = pruner.pick(given.tasks, 0.0), again.pick(given.tasks, 0.0)
        assert torch.equal(mine.evidence, other.evidence) and again.names == NAMES
        keep, edge = again.probabilities(other.evidence[0])
        assert keep.shape == (3,) and not edge.diagonal().any()
