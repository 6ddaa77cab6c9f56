"""Calibration by agent mends the agent that is wrong, leaves the others, and does not learn noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentnet.errors import DataError, RouterError
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.choices import ChoiceLog, draw_log
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.agent_calibration import AgentCalibration, fit_agent_calibration, recalibrate
from agentnet.routers.calibration import Calibration
from agentnet.routers.persist import load

NAMES = ("right", "proud", "shy")


def world(n: int, seed: int) -> tuple[Outcomes, np.ndarray, np.ndarray]:
    """Outcomes, raw scores and encodings: ``proud`` is worse than it is thought to be, ``shy`` is better."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    odds = 3 * vectors[:, :3] + 0.3
    shift = np.array([0.0, -1.6, 1.2])
    chance = 1 / (1 + np.exp(-(odds + shift)))
    queries = Queries(
        query_id=np.array([f"{seed}-{i}" for i in range(n)]),
        text=tuple(f"question {i}" for i in range(n)),
        split=np.full(n, "test"),
    )
    score = (rng.random(chance.shape) < chance).astype(np.float32)
    pool = Pool([Agent(name=name) for name in NAMES])
    outcomes = Outcomes(queries=queries, pool=pool, score=score, cost=np.full(score.shape, np.nan))
    return outcomes, 1 / (1 + np.exp(-odds)), vectors


def logged(outcomes: Outcomes, raw: np.ndarray, n: int, seed: int) -> ChoiceLog:
    """A log of a router that mostly asks the agent it thinks best."""
    policy = np.full(raw.shape, 0.15)
    policy[np.arange(len(raw)), raw.argmax(1)] += 0.55
    return draw_log(outcomes, policy, n, np.random.default_rng(seed))


def gaps(calibrated: np.ndarray, outcomes: Outcomes) -> np.ndarray:
    """[A] mean predicted less mean score over all tasks."""
    gap: np.ndarray = calibrated.mean(0) - outcomes.score.mean(0)
    return gap


def test_a_wrong_agent_is_mended_over_all_tasks_not_only_over_its_own() -> None:
    outcomes, raw, vectors = world(3000, 0)
    found = fit_agent_calibration(logged(outcomes, raw, 3000, 1), raw, vectors=vectors)
    fresh, raw, vectors = world(6000, 2)
    before, after = gaps(raw, fresh), gaps(found.apply_to(raw, NAMES, vectors), fresh)
    assert before[1] > 0.2 and before[2] < -0.15
    assert np.abs(after).max() < 0.04


def test_the_true_lines_are_found() -> None:
    outcomes, raw, _ = world(8000, 3)
    found = fit_agent_calibration(logged(outcomes, raw, 16_000, 4), raw)
    assert {name: line[1] for name, line in found.curves.items()} == pytest.approx(
        {"right": 0.0, "proud": -1.6, "shy": 1.2}, abs=0.2
    )
    assert all(line[0] == pytest.approx(1, abs=0.15) for line in found.curves.values())


def test_a_slice_in_which_an_agent_fails_gets_its_own_offset() -> None:
    rng = np.random.default_rng(5)
    n = 3000
    kind = rng.integers(2, size=n)
    vectors = np.eye(4, dtype=np.float32)[2 * kind] * 0.95 + rng.normal(0, 0.1, (n, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chance = np.where(kind[:, None] == 1, [0.2, 0.8, 0.8], 0.8)
    outcomes, _, _ = world(n, 6)
    outcomes = replace(outcomes, score=(rng.random((n, 3)) < chance).astype(np.float32))
    raw = np.full((n, 3), 0.7) + rng.uniform(-0.01, 0.01, (n, 3))
    log = draw_log(outcomes, np.full((n, 3), 1 / 3), n, rng)
    found = fit_agent_calibration(log, raw, vectors=vectors, slices=2)
    calibrated = found.apply_to(raw, NAMES, vectors)
    assert calibrated[kind == 1].mean(0) == pytest.approx([0.2, 0.8, 0.8], abs=0.06)
    assert calibrated[kind == 0].mean(0) == pytest.approx([0.8, 0.8, 0.8], abs=0.06)
    flat = fit_agent_calibration(log, raw).apply_to(raw, NAMES, vectors)
    assert abs(flat[kind == 1].mean(0)[0] - 0.2) > 0.2  # without slices it cannot be told


def test_an_agent_with_few_decisions_stays_near_the_pooled_line() -> None:
    outcomes, raw, _ = world(2000, 7)
    log = logged(outcomes, raw, 2000, 8)
    rare = np.flatnonzero(log.agent == 1)[5:]  # five decisions are left of the proud one
    found = fit_agent_calibration(log.take(np.setdiff1d(np.arange(len(log)), rare)), raw)
    slope, offset = found.curves["proud"]
    assert abs(offset - found.offset) < 0.5 < abs(-1.6 - found.offset)
    assert abs(slope - found.slope) < 0.5
    stranger = found.apply_to(np.array([[0.3, 0.3]]), ("nobody", "nobody else"))
    assert stranger[0] == pytest.approx(found.apply(np.array([0.3, 0.3])))


def test_shuffled_scores_teach_nothing_about_agents() -> None:
    outcomes, raw, vectors = world(2000, 9)
    log = logged(outcomes, raw, 2000, 10)
    shuffled = replace(log, score=np.random.default_rng(11).permutation(log.score))
    found = fit_agent_calibration(shuffled, raw, vectors=vectors)
    fresh, raw, vectors = world(4000, 12)
    right = fit_agent_calibration(log, world(2000, 9)[1], vectors=world(2000, 9)[2])

    def loss(calibration: Calibration) -> float:
        return float(((calibration.apply_to(raw, NAMES, vectors) - fresh.score) ** 2).mean())

    assert loss(right) < loss(Calibration()) - 0.02
    assert loss(found) > loss(Calibration())
    spread = np.ptp([line[1] for line in found.curves.values()])
    assert spread < 0.4  # the true offsets differ by 2.8


def test_too_little_evidence_and_wrong_shapes_are_refused() -> None:
    outcomes, raw, _ = world(300, 13)
    log = logged(outcomes, raw, 300, 14)
    with pytest.raises(DataError, match="needed to calibrate"):
        fit_agent_calibration(log.take(np.arange(50)), raw)
    with pytest.raises(DataError, match="shape"):
        fit_agent_calibration(log, raw[:, :2])


# -- with routers ------------------------------------------------------------------------------
@pytest.fixture
def router_and_log(kit: Any) -> tuple[Any, ChoiceLog, Outcomes]:
    data = kit.planted(600)
    router = kit.make("kmeans")
    router.fit(data, data.pool)
    held = data.split("test")
    broken = held.score.copy()
    broken[:, 0] *= np.random.default_rng(0).random(len(broken)) < 0.4  # the first agent broke meanwhile
    held = replace(held, score=broken)
    policy = np.full(held.score.shape, 1 / len(held.pool))
    return router, draw_log(held, policy, 1500, np.random.default_rng(1)), held


def test_a_recalibrated_router_is_another_version_with_the_same_raw_scores(
    router_and_log: tuple[Any, ChoiceLog, Outcomes], tmp_path: Path
) -> None:
    router, log, held = router_and_log
    version, state = router.version, router._state()[0]
    other = recalibrate(router, log, held.pool)
    assert (router.version, router._state()[0]) == (version, state)  # the router itself is as it was
    before, after = (r.score_batch(held.tasks(), held.pool) for r in (router, other))
    np.testing.assert_array_equal(before.raw, after.raw)
    assert after.calibrated[:, 0].mean() < before.calibrated[:, 0].mean() - 0.1
    assert other.version != version
    decision = other.route(held.tasks()[0], held.pool)
    assert decision.calibration_id == other.calibration.id != router.calibration.id
    assert decision.version == other.version
    other.save(tmp_path / "router")
    loaded = load(tmp_path / "router")
    assert loaded.version == other.version
    np.testing.assert_array_equal(
        loaded.score_batch(held.tasks(), held.pool).calibrated, after.calibrated
    )  # fmt: skip
    again = recalibrate(router, log, held.pool)
    assert (again.version, again.calibration.id) == (other.version, other.calibration.id)
    twice = recalibrate(other, log, held.pool)  # starts from the router's own curve, not from the last one
    assert twice.calibration.id == other.calibration.id


def test_the_id_names_the_content() -> None:
    one = AgentCalibration(
        "agents", 1.0, 0.1, curves={"a": (1.0, 0.5)}, centres=((1.0, 0.0),), slices={"a": (0.2,)}
    )
    assert Calibration.from_dict(one.to_dict()) == one
    assert Calibration.from_dict(one.to_dict()).id == one.id
    for other in (replace(one, curves={"a": (1.0, 0.6)}), replace(one, slices={"a": (0.3,)}),
                  replace(one, base=Calibration("platt", 2.0))):  # fmt: skip
        assert other.id != one.id


def test_a_router_of_several_agents_is_refused(kit: Any) -> None:
    data = kit.planted(160)
    router = kit.make("amro_s")
    router.fit(data, data.pool)
    log = draw_log(data, np.full(data.score.shape, 1 / len(data.pool)), 200, np.random.default_rng(0))
    with pytest.raises(RouterError, match="cannot be calibrated by agent"):
        recalibrate(router, log, data.pool)


def test_curves_rise_also_where_the_best_line_would_fall() -> None:
    outcomes, raw, _ = world(4000, 15)
    chance = 1 - raw * 0.6  # the higher the prediction, the worse
    against = replace(
        outcomes, score=(np.random.default_rng(16).random(raw.shape) < chance).astype(np.float32)
    )
    found = fit_agent_calibration(logged(against, raw, 4000, 17), raw)
    grid = found.apply_to(np.tile(np.linspace(0.01, 0.99, 50)[:, None], (1, 3)), NAMES)
    assert (np.diff(grid, axis=0) > 0).all()
    assert np.abs(gaps(found.apply_to(raw, NAMES), against)).max() < 0.05
