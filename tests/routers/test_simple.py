"""The routers that look at no task, and the oracle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentnet.errors import InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.routers.base import RouteOptions
from agentnet.routers.registry import load_router


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


def test_weighted_round_robin_gives_each_its_share_spread_out(kit: Any) -> None:
    pool = Pool([Agent(name="c"), Agent(name="a"), Agent(name="b")])
    router = kit.make("round_robin", weights=("a=5",))
    turns = [router.route("x", pool).agents[0] for _ in range(3)]
    turns += [d.agents[0] for d in router.route_batch([Task("x")] * 11, pool)]
    # The sequence that nginx gives for the weights 5, 1, 1: never all five of a in one run.
    assert "".join(turns) == "aabacaa" * 2
    assert "5 of 7 turns" in router.route("x", pool).explain()


def test_weighted_round_robin_goes_on_when_the_pool_changes(kit: Any) -> None:
    names = ("a", "b", "c")
    router = kit.make("round_robin", weights="a=2,b=1.5,gone=9")
    for chosen in (("a", "b"), names, ("b", "c")):
        pool = Pool([Agent(name=name) for name in chosen])
        weights = [{"a": 2.0, "b": 1.5}.get(name, 1.0) for name in chosen]
        turns = [d.agents[0] for d in router.route_batch([Task("x")] * 900, pool)]
        for name, weight in zip(chosen, weights, strict=True):
            assert abs(turns.count(name) - 900 * weight / sum(weights)) <= 3


def test_weighted_round_robin_keeps_its_weights_on_disk(kit: Any, tmp_path: Path) -> None:
    data = kit.planted(40)
    router = kit.make("round_robin", weights=(f"{data.pool.names[2]}=3",))
    router.fit(data, data.pool)
    router.save(tmp_path / "router")
    loaded = load_router(tmp_path / "router")
    assert loaded.settings == router.settings and loaded.version == router.version
    turns = [[r.route("x", data.pool).agents for _ in range(12)] for r in (router, loaded)]
    assert turns[0] == turns[1] and turns[0].count((data.pool.names[2],)) == 6


@pytest.mark.parametrize("weights", ["a", "a=", "a=0", "a=-1", "a=inf", "a=nan", "=2", "a=1,a=2"])
def test_weights_that_make_no_sense_are_refused(kit: Any, weights: str) -> None:
    with pytest.raises(InvalidInput, match="weight"):
        kit.make("round_robin", weights=weights)


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
