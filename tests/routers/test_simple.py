"""The routers that look at no task, and the oracle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.routers.base import RouteOptions


def test_random_spreads_evenly_and_says_so(kit: Any, fitted: Any) -> None:
    pool = kit.planted().pool
    tasks = [Task(f"task {i}") for i in range(2000)]
    decisions = fitted("random").route_batch(tasks, pool)
    share = [np.mean([d.agents == (name,) for d in decisions]) for name in pool.names]
    assert max(abs(part - 0.25) for part in share) < 0.05
    assert all(d.propensity == 0.25 for d in decisions)


def test_random_takes_its_seed_and_a_callers_generator(kit: Any) -> None:
    data = kit.planted(40)
    tasks = [Task(f"task {i}") for i in range(50)]

    def drawn(seed: int | None, fit_seed: int, rng: int | None = None) -> list[tuple[str, ...]]:
        router = kit.make("random", seed=seed)
        router.fit(data, data.pool, seed=fit_seed)
        options = RouteOptions(rng=None if rng is None else np.random.default_rng(rng))
        return [d.agents for d in router.route_batch(tasks, data.pool, options=options)]

    assert drawn(None, 1) != drawn(None, 2)
    assert drawn(5, 1) == drawn(5, 2)
    assert drawn(5, 1, rng=0) == drawn(6, 1, rng=0) != drawn(5, 1)


def test_round_robin_takes_turns_across_calls(kit: Any) -> None:
    data = kit.planted(40)
    router = kit.make("round_robin")
    router.fit(data, data.pool)
    turn = [router.route("x", data.pool).agents[0] for _ in range(3)]
    turn += [d.agents[0] for d in router.route_batch([Task("x")] * 5, data.pool)]
    assert turn == sorted(data.pool.names) * 2


def test_cheapest_and_best_single(kit: Any, fitted: Any) -> None:
    data = kit.planted()
    learned = data.without_split("test")
    assert fitted("cheapest").route("x", data.pool).agents == (data.pool.names[0],)
    best = data.pool.names[int(np.argmax(learned.mean_score))]
    assert fitted("best_single").route("x", data.pool).agents == (best,)
    scores = fitted("best_single").score_batch([Task("x")], data.pool)
    np.testing.assert_allclose(scores.raw[0], learned.mean_score, rtol=1e-6)
    np.testing.assert_allclose(scores.cost, learned.mean_cost)


def test_an_unknown_cost_is_not_cheap(kit: Any) -> None:
    data = kit.planted(80)
    cost = data.cost.copy()
    cost[:, 0] = np.nan
    router = kit.make("cheapest")
    router.fit(replace(data, cost=cost), data.pool)
    assert router.route("x", data.pool).agents == (data.pool.names[1],)


def test_the_oracle_is_the_upper_bound_at_the_least_cost(kit: Any) -> None:
    data = kit.planted()
    test = data.split("test")
    oracle = kit.make("oracle")
    oracle.fit(test, data.pool)
    assert kit.score(oracle, test) == pytest.approx(test.score.max(1).mean())
    for decision, score in zip(oracle.route_batch(test.tasks(), test.pool), test.score, strict=True):
        assert decision.agents == (test.pool.names[int(score.argmax())],)  # the first of equals is cheapest
    assert oracle.route("a task that nobody recorded", data.pool).agents


def test_the_oracle_abstains_out_of_scope(kit: Any) -> None:
    data = kit.labels()
    oracle = kit.make("oracle")
    oracle.fit(data, data.pool)
    assert kit.score(oracle, data) == 1.0


def test_probes_move_the_means(kit: Any) -> None:
    data = kit.planted(80)
    router = kit.make("best_single")
    router.fit(data, data.pool)
    worst = int(np.argmin(data.without_split("test").mean_score))
    extra = kit.planted(400, seed=2)
    right = replace(extra, score=np.eye(4, dtype=np.float32)[np.full(400, worst)])
    assert router.with_probes(right).route("x", data.pool).agents == (data.pool.names[worst],)
    assert isinstance(router.with_probes(right).stats.known(Pool(data.pool)), np.ndarray)
