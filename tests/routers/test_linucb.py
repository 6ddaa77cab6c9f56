"""`linucb`: the bound decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agentnet.errors import InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.routers.linucb import LinUcbRouter
from agentnet.routers.online import Served

POOL = Pool([Agent(name="tried"), Agent(name="new")])


def after(n: int, score: float, **settings: Any) -> LinUcbRouter:
    """A bandit without context and floor that has seen n scores of one agent."""
    router = LinUcbRouter(features="none", floor=0.0, **settings)
    evidence = {"agent": "tried", "basis": "", "context": [1.0], "look": [], "gap": 0.0}
    router.learn([Served(evidence=evidence, ran=("tried",), score=score)] * n)
    return router


def test_an_agent_in_doubt_is_tried_where_the_bound_is_wide() -> None:
    chosen = {alpha: after(30, 0.8, alpha=alpha).route("x", POOL) for alpha in (0.0, 5.0)}
    assert chosen[0.0].agents == ("tried",) and chosen[5.0].agents == ("new",)
    assert all(d.propensity == 1.0 for d in chosen.values())


def test_the_bound_is_mean_plus_alpha_deviations() -> None:
    """With nothing shared: mean (r 0.5 + sum) / (r + n), deviation 1 / sqrt(r + n)."""
    router = after(30, 0.8, alpha=0.7, ridge=2.0, shared=0.0)
    decision = router.route("x", POOL)
    mean, deviation = 0.5 + 30 * 0.3 / 32, 1 / np.sqrt(32)
    assert decision.raw[0] == pytest.approx(mean)
    first, second = mean + 0.7 * deviation, 0.5 + 0.7 / np.sqrt(2)
    assert decision.agents == (("tried",) if first > second else ("new",))
    at = {name: e for name, e in zip(POOL.names, (deviation, 1 / np.sqrt(2)), strict=True)}
    assert decision.evidence.to_dict()["deviation"] == pytest.approx(at[decision.agents[0]])


def test_the_papers_settings_come_with_its_features() -> None:
    paper, ours = LinUcbRouter(features="greenserv"), LinUcbRouter()
    assert (paper.width, paper.belief.arms.ridge, paper.belief.arms.shared) == (0.1, 0.05, None)
    assert ours.width > paper.width and ours.belief.arms.shared is not None
    assert LinUcbRouter(alpha=0.0).width == 0.0
    with pytest.raises(InvalidInput, match="alpha"):
        LinUcbRouter(alpha=-1.0)


def test_agents_that_nothing_tells_apart_share_the_choice() -> None:
    router = LinUcbRouter(features="none", floor=0.0)
    decisions = router.route_batch([Task(f"t{i}") for i in range(400)], POOL)
    assert all(d.propensity == 0.5 for d in decisions)
    assert 0.4 < np.mean([d.agents[0] == "new" for d in decisions]) < 0.6
