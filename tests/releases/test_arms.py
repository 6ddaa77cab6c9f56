"""A canary's draw counts as exploration: certain routers become comparable."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.choices import ChoiceLog
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.registry.arms import RELEASE_TAG, Arm
from agentnet.registry.base import Registry, open_registry
from agentnet.releases.arms import with_arms
from agentnet.routers.base import Router
from agentnet.routers.registry import make_router

POOL = Pool([Agent(name="a"), Agent(name="b"), Agent(name="c")])
QUERIES = Queries(query_id=np.array(["0", "1"]), text=("first", "second"), split=np.array(["train", "train"]))


def always(best: int) -> Router:
    score = np.zeros((2, 3), np.float32)
    score[:, best] = 1
    router = make_router("best_single")
    router.fit(Outcomes(queries=QUERIES, pool=POOL, score=score, cost=np.full((2, 3), np.nan)), POOL)
    return router


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return open_registry(tmp_path / "registry")


def test_the_draw_of_the_arm_is_the_propensity(registry: Registry) -> None:
    old, new = (registry.add(always(best)).id for best in (0, 1))
    log = ChoiceLog.of(
        QUERIES, POOL, plans=[TaskGraph.of([name]) for name in POOL.names],
        query=[0, 1, 0, 1, 0], plan=[0, 1, 2, 0, 0], propensity=[1.0] * 5, score=[1.0] * 5,
    )  # fmt: skip
    arm = Arm(revision=2, arm="serving", share=0.3, serving=old, canary=new)
    tags = [{RELEASE_TAG: replace(arm, arm=name).to_dict()} for name in ("serving", "canary", "serving")]
    mixed, notes = with_arms(log, [*tags, {}, {RELEASE_TAG: "nonsense"}], registry, POOL)
    assert notes == ()
    # neither arm would choose agent c, so nobody knows how likely that was; rows without a draw stay
    np.testing.assert_allclose(mixed.propensity, [0.7, 0.3, np.nan, 1.0, 1.0])


def test_a_version_that_is_gone_leaves_the_rows_and_a_note(registry: Registry) -> None:
    log = ChoiceLog.of(
        QUERIES, POOL, plans=[TaskGraph.of(["a"])], query=[0], plan=[0], propensity=[1.0], score=[1.0]
    )
    arm = Arm(revision=2, arm="serving", share=0.3, serving="0123", canary="4567")
    mixed, (note,) = with_arms(log, [{RELEASE_TAG: arm.to_dict()}], registry, POOL)
    assert mixed.propensity.tolist() == [1.0]
    assert "4567" in note
