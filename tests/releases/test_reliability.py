"""Reliability is measured on rows not used for fitting, and falls where there was something to mend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import agentnet
from agentnet.errors import DataError
from agentnet.outcomes.choices import draw_log
from agentnet.releases.reliability import (
    recalibrated_reliability,
    reliability,
    reliability_plot,
    reliability_section,
)
from agentnet.routers.agent_calibration import recalibrate
from agentnet.routers.calibration import calibration_error
from agentnet.routers.registry import make_router
from tests.releases.simulated import SKILL, TOPICS, simulate


def predictions(log: Any, shift: float = 0.0) -> np.ndarray:
    """The true chances by the topic, with the first agent's moved."""
    topic = [list(TOPICS).index(text.split()[0]) for text in log.queries.text]
    found = SKILL[topic].copy()
    found[:, 0] = np.clip(found[:, 0] + shift, 0, 1)
    return found


def test_the_error_is_that_of_the_wrong_agent() -> None:
    log = simulate(4000, 0)
    found = reliability(log, {"moved": predictions(log, 0.15), "true": predictions(log)})
    by_agent = {item.agent: item for item in found.agents}
    assert by_agent["ann"].error["moved"].value == pytest.approx(0.15, abs=0.04)
    assert by_agent["ann"].error["true"].value < 0.05
    assert by_agent["bob"].error["moved"] == by_agent["bob"].error["true"]
    assert found.change.high < 0
    for item in found.agents:
        for one in item.bins["true"]:
            assert one.low - 0.05 < one.predicted < one.high + 0.05
    assert found == reliability(log, {"moved": predictions(log, 0.15), "true": predictions(log)})


def test_what_is_drawn_has_every_agent_and_stage() -> None:
    log = simulate(1200, 1)
    found = reliability(log, {"raw": predictions(log, -0.2), "calibrated": predictions(log)})
    svg = reliability_plot(found)
    for word in ("ann", "bob", "cy", "raw", "calibrated"):
        assert f">{word}<" in svg
    assert svg.count("<circle") == 1 + sum(len(item.bins["raw"]) for item in found.agents)
    assert "abc123" in reliability_section(found, "abc123")
    assert set(found.to_dict()["agents"]) == {"ann", "bob", "cy"}
    with pytest.raises(DataError, match="calibration cannot be looked at"):
        reliability(log.take(np.arange(30)), {"raw": predictions(log)})


def test_recalibration_is_measured_on_the_other_half() -> None:
    log = simulate(3000, 2)
    router = make_router("best_single")
    router.fit(log.to_outcomes(), log.pool)
    broken = simulate(4000, 3, broken=0, at=0.0)
    found, name = recalibrated_reliability(router, broken, broken.pool)
    assert name is not None and found.stages == ("raw", "calibrated", "by agent")
    assert found.n < 0.6 * len(broken)
    assert found.change.high < 0
    paths = make_router("amro_s")
    paths.fit(simulate(200, 4).to_outcomes(), log.pool)
    some = broken.take(np.arange(600))
    other, none = recalibrated_reliability(paths, some, broken.pool)
    assert none is None and other.stages == ("raw", "calibrated")


@pytest.mark.pack
def test_held_out_error_falls_on_a_real_pack(data_dir: Path) -> None:
    # The router learned from a log of one router; the truth is the full matrix of fresh queries.
    data = agentnet.load_outcomes(data_dir / "ulab9")
    train, test = data.split("train", "val"), data.split("test")
    agents = len(data.pool)
    before, after = [], []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        policy = np.full(train.score.shape, 0.2 / agents)
        policy[:, int(train.mean_score.argmax())] += 0.8
        router = make_router("kmeans", encoder="hash:128", clusters=16)
        router.fit(draw_log(train, policy, 4000, rng).to_outcomes(), data.pool)
        first = rng.permutation(len(test)) % 2 == 0
        seen, fresh = test.take(first), test.take(~first)
        log = draw_log(seen, np.full(seen.score.shape, 1 / agents), 4000, rng)
        for found, r in ((before, router), (after, recalibrate(router, log, data.pool))):
            told = r.score_batch(fresh.tasks(), fresh.pool).calibrated
            found.append(
                np.mean([calibration_error(told[:, a], fresh.score[:, a], bins=8) for a in range(agents)])
            )
    assert np.mean(after) < np.mean(before)
