"""What every bandit promises: it learns, tells true probabilities, keeps its floor and its budget."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentnet.errors import InvalidInput, RouterError
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.routers.bandits.belief import WARM
from agentnet.routers.bandits.router import BanditRouter
from agentnet.routers.base import RouteOptions
from agentnet.routers.online import Served
from agentnet.routers.persist import load
from agentnet.routers.policy import policy_of

from .streams import NAMES, POOL, bandit, serve, served, tasks_of

ROUNDS = 700


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def by_topic(topics: list[str], *, right: float = 0.9, wrong: float = 0.2, seed: int = 0) -> Any:
    """Scores by which an agent is good at its own topic."""
    luck = np.random.default_rng(seed).random(len(topics))
    return lambda i, agent: float(luck[i] < (right if agent == topics[i] else wrong))


def late_share(decisions: list[Any], topics: list[str]) -> float:
    """How often one of the last 200 tasks got its topic's agent."""
    return float(np.mean([d.agents[0] == t for d, t in list(zip(decisions, topics, strict=True))[-200:]]))


def taught(name: str, n: int = 300, **settings: Any) -> BanditRouter:
    """A bandit that has served n tasks."""
    router = bandit(name, **settings)
    tasks, topics = tasks_of(n)
    serve(router, tasks, by_topic(topics), batch=10)
    return router


# -- it learns --------------------------------------------------------------------------------------
@pytest.mark.parametrize("features", ["agentnet", "greenserv"])
def test_it_learns_online_who_is_good_at_what(name: str, features: str) -> None:
    tasks, topics = tasks_of(ROUNDS)
    router = bandit(name, features=features)
    share = late_share(serve(router, tasks, by_topic(topics), batch=5), topics)
    assert share > {"agentnet": 0.8, "greenserv": 0.5}[features]
    assert router.belief.rounds == ROUNDS and router.snapshot_number == ROUNDS // 5


def test_scores_that_mean_nothing_teach_nothing(name: str) -> None:
    tasks, topics = tasks_of(ROUNDS)
    strangers = list(np.random.default_rng(1).permutation(np.array(topics)))
    share = late_share(serve(bandit(name), tasks, by_topic(strangers), batch=5), topics)
    assert share < 0.55


def test_without_context_it_learns_who_is_best_overall(name: str) -> None:
    tasks, _ = tasks_of(300)
    router = bandit(name, features="none")
    decisions = serve(router, tasks, lambda i, agent: float(agent == "travel"), batch=5)
    assert np.mean([d.agents[0] == "travel" for d in decisions[-100:]]) > 0.8
    assert router._encoder is None, "nothing is encoded"


def test_recorded_outcomes_are_a_start(name: str, kit: Any) -> None:
    data = kit.planted(600)
    router = kit.make(name)
    router.fit(data, data.pool, seed=0)
    test = data.split("test")
    chosen = [d.agents[0] for d in router.route_batch(test.tasks(), test.pool)]
    share = np.mean([agent.startswith(topic) for agent, topic in zip(chosen, test.queries.task, strict=True)])
    assert share > 0.6
    shuffled = kit.planted(600, shuffle=True)
    router.fit(shuffled, shuffled.pool, seed=0)
    chosen = [d.agents[0] for d in router.route_batch(test.tasks(), test.pool)]
    wrong = np.mean([agent.startswith(topic) for agent, topic in zip(chosen, test.queries.task, strict=True)])
    assert wrong < 0.45


def test_weights_count(name: str, kit: Any) -> None:
    """Of two kinds of rows that contradict each other, the weightier is believed; weight 0 is not there."""
    data = kit.planted(200)
    score = np.repeat((np.arange(200) % 2)[:, None], 4, axis=1).astype(np.float32)
    found = {}
    for right, wrong in ((9.0, 1.0), (1.0, 9.0), (1.0, 0.0)):
        weight = np.where(score > 0, right, wrong).astype(np.float32)
        router = kit.make(name, features="none")
        router.fit(replace(data, score=score, weight=weight), data.pool, seed=0)
        found[right, wrong] = float(router.score_batch([Task("x")], data.pool).raw.mean())
    assert found[9.0, 1.0] > 0.8 and found[1.0, 9.0] < 0.2 and found[1.0, 0.0] > 0.9


# -- probabilities ----------------------------------------------------------------------------------
def test_told_probabilities_are_the_frequencies(name: str) -> None:
    """Over many seeds of the draw, and not only of the task's hash."""
    router = taught(name, 60, floor=0.05)
    task = tasks_of(1, seed=5)[0][0]
    counts = dict.fromkeys(POOL.names, 0)
    told: dict[str, float] = {}
    draws = 1200
    for seed in range(draws):
        options = RouteOptions(rng=np.random.default_rng(seed))
        decision = router.route(task, POOL, options=options)
        counts[decision.agents[0]] += 1
        told[decision.agents[0]] = decision.propensity
    assert set(told) == set(POOL.names)
    assert sum(told.values()) == pytest.approx(1)
    for agent, chance in told.items():
        assert abs(counts[agent] / draws - chance) < 4 * np.sqrt(chance * (1 - chance) / draws)


def test_hashed_draws_follow_the_probabilities_too(name: str) -> None:
    router = taught(name, 60, floor=0.1)
    tasks, _ = tasks_of(1200, seed=6)
    decisions = router.route_batch(tasks, POOL)
    policy = policy_of(router, tasks, POOL).agents(POOL)
    share = [np.mean([d.agents[0] == agent for d in decisions]) for agent in POOL.names]
    np.testing.assert_allclose(share, policy.mean(0), atol=0.05)
    for i, decision in enumerate(decisions[:50]):
        assert decision.propensity == pytest.approx(policy[i, POOL.index(decision.agents[0])], abs=1e-9)


def test_every_agent_keeps_its_floor(name: str) -> None:
    router = taught(name, 300, floor=0.07)
    policy = policy_of(router, tasks_of(200, seed=7)[0], POOL).agents(POOL)
    assert policy.min() >= 0.07 - 1e-12 and policy.max() <= 1 - 2 * 0.07 + 1e-12
    np.testing.assert_allclose(policy.sum(1), 1)


def test_the_order_of_the_pool_plays_no_part(name: str) -> None:
    router = taught(name, 200)
    tasks, _ = tasks_of(100, seed=8)
    backwards = Pool(reversed(POOL.agents))
    first = policy_of(router, tasks, POOL).agents(POOL)
    second = policy_of(router, tasks, backwards).agents(backwards)
    np.testing.assert_allclose(first, second[:, ::-1], atol=1e-12)


# -- budget of regret -------------------------------------------------------------------------------
def test_a_spent_budget_stops_exploring_and_leaves_the_floor(name: str) -> None:
    settings = {
        "eps_greedy": {"epsilon": 0.9, "halving": None},
        "thompson": {"width": 3.0},
        "linucb": {"alpha": 9.0},
    }
    tasks, _topics = tasks_of(400)
    after = tasks_of(100, seed=9)[0]
    greedy = {}
    for budget in (None, 1e-4):
        router = bandit(name, budget=budget, floor=0.01, features="none", **settings[name])
        serve(router, tasks, lambda i, agent: float(agent == "travel"), batch=5)
        decisions = router.route_batch(after, POOL)
        told = [d.evidence.to_dict() for d in decisions]
        greedy[budget] = np.mean([d.propensity == pytest.approx(0.98) for d in decisions])
        assert all(one["exploring"] is (budget is None) for one in told)
        if budget is not None:
            assert router.belief.spent > budget * router.belief.rounds
            assert any("budget of regret is used up" in line for line in decisions[0].evidence.lines())
    assert greedy[1e-4] > 0.9
    if name == "eps_greedy":
        assert greedy[None] == 0.0


def test_what_exploring_costs_is_what_the_evidence_says(name: str) -> None:
    router = bandit(name, floor=0.2)
    tasks, topics = tasks_of(50)
    decisions = serve(router, tasks, by_topic(topics))
    gaps = [d.evidence.to_dict()["gap"] for d in decisions]
    assert min(gaps) >= 0 and sum(gaps) > 0
    assert router.belief.spent == pytest.approx(sum(gaps))
    assert all(
        (g == 0) == (d.evidence.agent == d.evidence.best) for g, d in zip(gaps, decisions, strict=True)
    )


# -- agents that come and go ------------------------------------------------------------------------
def test_a_new_agent_is_explored_and_a_lost_one_remembered(name: str) -> None:
    settings = {"halving": None, "epsilon": 0.2} if name == "eps_greedy" else {}
    router = bandit(name, **settings)
    tasks, _ = tasks_of(900)
    few = POOL.subset(("algebra", "cooking"))
    serve(router, tasks[:300], lambda i, agent: float(i % 10 < 3), pool=few, batch=5)
    told = serve(router, tasks[300:600], lambda i, agent: float(agent == "travel" or i % 10 < 3), batch=5)
    assert np.mean([d.agents[0] == "travel" for d in told[-100:]]) > 0.6
    alone = serve(router, tasks[600:620], lambda i, agent: 0.0, pool=few)
    assert {d.agents[0] for d in alone} <= set(few.names)
    again = router.score_batch(tasks[620:640], POOL)
    assert again.known.all() and (again.raw.argmax(1) == POOL.index("travel")).all()
    assert not router.score_batch(tasks[:1], POOL.add(Agent(name="new"))).known[-1]


# -- money ------------------------------------------------------------------------------------------
def test_costs_are_learned_and_the_dial_counts_them(name: str) -> None:
    router = bandit(name, features="none", floor=0.0)
    pool = Pool([Agent(name="dear"), Agent(name="cheap")])
    for i in range(200):
        decision = router.route(Task(f"t{i}"), pool)
        dear = decision.agents[0] == "dear"
        router.learn([served(decision, 0.9 if dear else 0.7, cost=0.01 if dear else 0.001)])
    cost = dict(zip(pool.names, router.score_batch([Task("x")], pool).cost.tolist(), strict=True))
    assert cost == pytest.approx({"dear": 0.01, "cheap": 0.001})
    likely = {}
    for weight in (0.0, 0.5):
        policy = policy_of(router, [Task("x")], pool, options=RouteOptions(cost_weight=weight))
        likely[weight] = pool.names[int(policy.agents(pool)[0].argmax())]
    assert likely == {0.0: "dear", 0.5: "cheap"}


# -- snapshots --------------------------------------------------------------------------------------
def test_learning_on_one_is_learning_on_another_that_adopts(name: str) -> None:
    tasks, topics = tasks_of(260)
    one, other = bandit(name), bandit(name)
    score = by_topic(topics)
    for start in range(0, 260, 20):
        decisions = one.route_batch(tasks[start : start + 20], POOL)
        told = [served(d, score(start + i, d.agents[0])) for i, d in enumerate(decisions)]
        one.learn(told)
        other.learn(told)
        if start == 100:
            third = bandit(name)
            third.adopt(one.snapshot())
        if start > 100:
            third.learn(told)
    assert one.snapshot() == other.snapshot() == third.snapshot()
    assert one.version == third.version and one.snapshot_number == third.snapshot_number == 13
    assert not third.belief.warming


def test_a_snapshot_is_not_changed_by_learning_on(name: str) -> None:
    router = taught(name, 200)
    held, before = router.belief, router.snapshot()
    tasks, topics = tasks_of(40, seed=4)
    serve(router, tasks, by_topic(topics), batch=10)
    assert held.to_bytes(router._fitted) == before != router.snapshot()


def test_a_snapshot_of_another_kind_is_refused_and_changes_nothing(name: str) -> None:
    router = taught(name, 40)
    before = router.snapshot()
    for data in (
        b"",
        b"nonsense",
        bandit(name, ridge=1.0).snapshot(),
        bandit(name, features="greenserv").snapshot(),
    ):
        with pytest.raises(RouterError):
            router.adopt(data)
    assert router.snapshot() == before


@pytest.mark.parametrize("at", [0, 200])
def test_the_order_within_a_batch_plays_no_part(name: str, at: int) -> None:
    """Neither during the warm-up nor after it."""
    routers = [bandit(name) for _ in range(2)]
    tasks, topics = tasks_of(at + WARM + 20)
    score = by_topic(topics)
    for router in routers:
        serve(router, tasks[:at], score, batch=20)
    decisions = routers[0].route_batch(tasks[at:], POOL)
    told = [served(d, score(at + i, d.agents[0])) for i, d in enumerate(decisions)]
    routers[0].learn(told)
    routers[1].learn([told[i] for i in np.random.default_rng(0).permutation(len(told))])
    asked = tasks_of(30, seed=2)[0]
    first, second = (router.score_batch(asked, POOL).raw for router in routers)
    np.testing.assert_allclose(first, second, atol=1e-9)


def test_it_repeats_itself_under_a_seed_and_not_under_another(name: str) -> None:
    tasks, topics = tasks_of(150)
    paths = []
    for seed in (1, 1, 2):
        decisions = serve(bandit(name, seed=seed, floor=0.1), tasks, by_topic(topics))
        paths.append([d.agents for d in decisions])
    assert paths[0] == paths[1] != paths[2]


def test_a_saved_bandit_goes_on_bit_for_bit(name: str, tmp_path: Path) -> None:
    router = taught(name, 200)
    router.save(tmp_path / "r")
    loaded = load(tmp_path / "r")
    assert isinstance(loaded, BanditRouter) and loaded.version == router.version
    tasks, topics = tasks_of(60, seed=5)
    score = by_topic(topics)
    mine, its = (serve(r, tasks, score, batch=7) for r in (router, loaded))
    assert [(d.agents, d.propensity) for d in mine] == [(d.agents, d.propensity) for d in its]
    assert router.snapshot() == loaded.snapshot()


# -- evidence ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("before", [0, 200])
def test_it_learns_the_same_from_a_trace_as_live(name: str, before: int) -> None:
    live, replayed = taught(name, before), taught(name, before)
    tasks, _topics = tasks_of(30, seed=3)
    told = [served(d, 1.0, cost=0.01) for d in live.route_batch(tasks, POOL)]
    live.learn(told)
    replayed.learn([Served.from_dict(json.loads(json.dumps(one.to_dict()))) for one in told])
    assert live.snapshot() == replayed.snapshot()


def test_what_was_decided_before_the_contexts_were_learned_still_teaches(name: str) -> None:
    router, tasks = bandit(name), tasks_of(WARM + 10)[0]
    early = [served(d, 1.0) for d in router.route_batch(tasks[:10], POOL)]
    serve(router, tasks[10:], lambda i, agent: 0.0, batch=20)
    assert not router.belief.warming
    count = router.belief.stats.count.sum()
    assert router.learn(early) == 10 and router.belief.stats.count.sum() == count + 10


def test_what_others_decided_teaches_nothing(name: str) -> None:
    router = taught(name, 200)
    number, state = router.snapshot_number, router.snapshot()
    other = bandit(name)
    serve(other, tasks_of(WARM, seed=99)[0], lambda i, agent: 1.0, batch=WARM)
    foreign = served(other.route(Task("solve the equation"), POOL), 1.0)
    mine = served(router.route(Task("solve the equation"), POOL), 1.0)
    strangers = [
        foreign,
        replace(mine, evidence={"path": ["a"]}),
        replace(mine, evidence={**mine.evidence, "context": [1.0]}),
        replace(mine, evidence={**mine.evidence, "context": ["x"]}),
        replace(mine, ran=("somebody else",)),
    ]
    assert router.learn(strangers) == 0 == router.learn([])
    assert router.snapshot_number == number and router.snapshot() == state
    assert router.learn([*strangers, mine]) == 1 and router.snapshot_number == number + 1


def test_rejected_answers_count_against_an_agent(name: str) -> None:
    router = bandit(name, features="none")
    before = router.score_batch([Task("x")], POOL).raw[0].copy()
    decision = router.route("x", POOL)
    at = POOL.index(decision.agents[0])
    router.learn([served(decision, 0.0)] * 3)
    after = router.score_batch([Task("x")], POOL).raw[0]
    assert after[at] < before[at] and after[at] == after.min()


def test_it_abstains_where_told_to_and_draws_nothing(name: str) -> None:
    router = taught(name, 100)
    tasks, _ = tasks_of(40, seed=1)
    best = router.score_batch(tasks, POOL).calibrated.max(1)
    middle = float(np.median(best)) + 1e-9
    decisions = router.route_batch(tasks, POOL, options=RouteOptions(abstain_below=middle))
    assert [d.abstained for d in decisions] == (best < middle).tolist()
    assert all(d.propensity == 1.0 and d.evidence.lines() for d in decisions if d.abstained)


def test_settings_out_of_range_are_refused(name: str) -> None:
    for wrong in ({"floor": -0.1}, {"floor": 1.5}, {"budget": -1.0}, {"ridge": 0.0}, {"features": "all"}):
        with pytest.raises(InvalidInput):
            bandit(name, **wrong)
