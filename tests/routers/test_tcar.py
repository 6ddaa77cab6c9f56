"""The router `tcar`: it learns, turns away, takes sets, keeps thresholds, asks a model, and is saved."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentnet.errors import DataError, InvalidInput, RouterError, RouterLoadError
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import RouteOptions
from agentnet.routers.sets.evidence import SetEvidence
from agentnet.routers.tcar import TcarRouter

from .sets.planted import (
    ENCODER,
    TOPICS,
    Forbidden,
    Teller,
    agent,
    ask,
    gibberish,
    hit,
    name,
    pack,
    pool_of,
    with_agents,
)

COOK, FLY = name("cooking"), name("travel")
SINGLE, ODD = "recipe oven flour", "qxv zzkw vvqj"
JOINED = "please my recipe oven flour and today the flight hotel airport"


def make(**settings: Any) -> TcarRouter:
    return TcarRouter(**({"encoder": "hash:512"} | settings))


@pytest.fixture(scope="module")
def data() -> Outcomes:
    return pack()


@pytest.fixture(scope="module")
def fitted(data: Outcomes) -> TcarRouter:
    router = make()
    router.fit(data, data.pool, seed=0)
    return router


@pytest.fixture
def asking(fitted: TcarRouter) -> Callable[..., TcarRouter]:
    """Makes the fitted router with another mode, and a model to ask."""

    def build(mode: str, model: Any = None, **settings: Any) -> TcarRouter:
        router = fitted._copy()
        router.mode = mode
        router.asked = router.spared = 0
        for key, value in settings.items():
            setattr(router, key, value)
        if model is not None:
            router.use_model(model)
        return router

    return build


# -- learning --------------------------------------------------------------------------------------
def test_queries_teach_more_than_descriptions_and_shuffled_labels_nothing(
    data: Outcomes, fitted: TcarRouter
) -> None:
    test = data.split("test")
    plain = hit(make(), test)
    assert 0.5 < plain < hit(fitted, test) and hit(fitted, test) > 0.95
    broken = make()
    broken.fit(pack(shuffle=True), data.pool, seed=0)
    assert hit(broken, test) < 0.5


def test_an_agent_that_came_after_the_pack_was_made_takes_no_labels(data: Outcomes) -> None:
    router = make()
    pool = data.pool.add(Agent(name="new", description="bees honey hive"))
    router.fit(data, pool, seed=0)
    assert hit(router, data.split("test"), pool) > 0.9


def test_what_cannot_be_learned_from_is_refused(data: Outcomes) -> None:
    with pytest.raises(DataError, match="nothing to learn from"):
        make().fit(data.take(data.out_of_scope), data.pool)


def test_one_split_alone_is_enough(data: Outcomes) -> None:
    for split in ("train", "val"):
        router = make()
        router.fit(data.with_split(np.full(len(data), split)), data.pool, seed=0)
        assert hit(router, data.split("test")) > 0.95


@pytest.mark.parametrize("agents", [1, 2])
def test_small_pools(data: Outcomes, agents: int) -> None:
    rows = with_agents(data, TOPICS[:agents])
    router = make()
    router.fit(rows, rows.pool, seed=0)
    assert router.route(SINGLE, rows.pool).agents == (COOK,)
    assert set(router.route(JOINED, rows.pool, options=RouteOptions(abstain_below=0)).agents) <= set(
        rows.pool.names
    )


def test_held_out_agents_are_reached_and_the_others_keep_their_tasks(data: Outcomes) -> None:
    held = TOPICS[:3]
    rows = with_agents(data, TOPICS[3:])
    router = make()
    router.fit(rows, rows.pool, seed=0)
    test = data.split("test")
    new = test.take(np.isin(test.queries.gold, [name(topic) for topic in held]))
    old = test.take(np.isin(test.queries.gold, rows.pool.names))
    before, reached = hit(router, old, rows.pool), []
    odd = [Task(gibberish(np.random.default_rng(i))) for i in range(30)]
    for examples in (0, 10):
        pool = Pool((*rows.pool.agents, *(agent(topic, examples=examples) for topic in held)))
        reached.append(hit(router, new, pool))
        assert hit(router, old, pool) >= before - 0.03
        away = np.mean([d.abstained for d in router.route_batch(odd, pool)])
        assert away > (0.5 if not examples else 0.9)
    assert reached[0] > 0.6 and reached[1] > max(0.9, reached[0])
    probes = data.take(np.isin(data.queries.gold, [name(topic) for topic in held])).split("train")
    probed = router.with_probes(probes)
    pool = Pool((*rows.pool.agents, *(agent(topic) for topic in held)))
    assert hit(probed, new, pool) > reached[0]
    assert probed.version != router.version and hit(router, new, pool) == reached[0]


# -- out of scope ----------------------------------------------------------------------------------
@pytest.mark.parametrize("settings", [{"false_alarms": 0.05}, {"false_alarms": 0.2}, {"false_accepts": 0.1},
                                      {"false_accepts": 0.0}])  # fmt: skip
def test_gibberish_is_turned_away_at_the_threshold_that_was_asked_for(
    data: Outcomes, settings: dict[str, float]
) -> None:
    router = make(**settings)
    router.fit(data, data.pool, seed=0)
    rng = np.random.default_rng(3)
    decisions = router.route_batch([Task(gibberish(rng)) for _ in range(40)], data.pool)
    assert np.mean([d.abstained for d in decisions]) > 0.8
    val = data.split("val")
    alarms = np.mean(
        [d.abstained for d in router.route_batch(val.take(~val.out_of_scope).tasks(), data.pool)]
    )
    assert alarms <= settings.get("false_alarms", 0.2)


@pytest.mark.parametrize("options", [{}, {"cost_weight": 0.5}, {"cost_weight": 1.0}])
def test_a_task_below_the_threshold_never_gets_a_graph(
    options: dict[str, float], asking: Callable[..., TcarRouter], data: Outcomes
) -> None:
    for mode in ("fast", "hybrid"):
        router = asking(mode, Forbidden()).with_thresholds({COOK: 0.01})
        decision = router.route(ODD, data.pool, options=RouteOptions(**options))
        assert decision.abstained and decision.graph is None and decision.agents == ()
        evidence = decision.evidence
        assert isinstance(evidence, SetEvidence)
        assert evidence.familiarity is not None and evidence.threshold is not None
        assert evidence.familiarity < evidence.threshold
        assert "no agent fits" in decision.explain()


# -- sets ------------------------------------------------------------------------------------------
def test_joined_tasks_get_both_agents_and_single_ones_one(fitted: TcarRouter, data: Outcomes) -> None:
    rng = np.random.default_rng(7)
    tasks, gold = [], []
    for _ in range(40):
        a, b = rng.choice(TOPICS, 2, replace=False)
        tasks.append(Task(f"{ask(rng, a)} and {ask(rng, b)}"))
        gold.append({name(a), name(b)})
    exact = [set(d.agents) == g for d, g in zip(fitted.route_batch(tasks, data.pool), gold, strict=True)]
    assert np.mean(exact) > 0.75
    singles = data.split("test")
    sizes = [
        len(d.agents) for d in fitted.route_batch(singles.take(~singles.out_of_scope).tasks(), data.pool)
    ]
    assert np.mean(np.array(sizes) > 1) < 0.05
    decision = fitted.route(JOINED, data.pool)
    assert set(decision.agents) == {COOK, FLY} and decision.aggregation is not None
    assert decision.aggregation.kind == "concat"
    assert isinstance(decision.evidence, SetEvidence)
    assert {part.agent for part in decision.evidence.parts} == {COOK, FLY}
    assert decision.expected_score > 0.5


def test_settings_of_sets(asking: Callable[..., TcarRouter], data: Outcomes) -> None:
    assert len(asking("fast", max_agents=1).route(JOINED, data.pool).agents) == 1
    assert len(asking("fast", agent_cost=5.0).route(JOINED, data.pool).agents) == 1
    pool = data.pool.add(Agent(name="editor", description="zzz"))
    merged = asking("fast", refiner="editor").route(JOINED, pool)
    assert merged.aggregation is not None and merged.aggregation.agent == "editor"
    assert set(merged.agents) - {"editor"} == {COOK, FLY}


def test_thresholds_of_single_agents(fitted: TcarRouter, data: Outcomes, tmp_path: Path) -> None:
    shares = fitted.route(SINGLE, data.pool).scores
    held = fitted.with_thresholds({COOK: min(1.0, shares[COOK].calibrated + 1e-4)})
    test = data.split("test")
    for decision in held.route_batch(test.tasks(), data.pool):
        for chosen in decision.agents:
            assert decision.scores[chosen].calibrated >= held.least.get(chosen, 0.0) - 1e-6
    assert COOK not in held.route(SINGLE, data.pool).agents
    assert fitted.route(SINGLE, data.pool).agents == (COOK,) and fitted.least == {}
    assert held.version != fitted.version == held.with_thresholds({COOK: 0.0}).version
    held.save(tmp_path / "held")
    loaded = TcarRouter.load(tmp_path / "held")
    assert loaded.least == held.least and loaded.version == held.version
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(InvalidInput, match="from 0 to 1"):
            fitted.with_thresholds({COOK: wrong})


def test_the_dial_takes_the_cheap_agent(data: Outcomes) -> None:
    priced = Pool(
        replace(one, price_in_per_mtok=Decimal(price), price_out_per_mtok=Decimal(price))
        for one, price in zip(data.pool, range(1, 13), strict=True)
    )
    cost = np.tile(np.arange(1, 13) * 1e-4, (len(data), 1))
    router = make()
    router.fit(replace(data, cost=cost), priced, seed=0)
    task = "flight hotel airport"
    assert router.route(task, priced).agents == (FLY,)
    assert router.route(task, priced, options=RouteOptions(cost_weight=1.0)).agents == (COOK,)


# -- pools -----------------------------------------------------------------------------------------
def test_permuted_pools_decide_alike_and_removed_agents_are_gone(fitted: TcarRouter, data: Outcomes) -> None:
    tasks = [*data.split("test").tasks()[:60], Task(JOINED), Task(ODD)]
    turned = data.pool.subset(data.pool.names[::-1])
    here, there = (fitted.route_batch(tasks, pool) for pool in (data.pool, turned))
    assert [d.agents for d in here] == [d.agents for d in there]
    fewer = data.pool.remove(COOK)
    assert all(COOK not in d.agents for d in fitted.route_batch(tasks, fewer))


def test_routes_while_agents_come_and_go(fitted: TcarRouter, data: Outcomes) -> None:
    bees = Agent(name="bees", description="bees honey hive", examples=("honey of bees",) * 3)
    errors: list[object] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for step in range(25):
                gone = name(TOPICS[int(rng.integers(1, len(TOPICS)))])
                pool = data.pool.remove(gone)
                if step % 2:
                    pool = pool.add(bees.with_(description=f"bees honey hive {int(rng.integers(4))}"))
                decision = fitted.route(SINGLE, pool)
                if decision.agents != (COOK,) or decision.candidates != pool.names:
                    errors.append(decision)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


# -- asking a model --------------------------------------------------------------------------------
def test_mode_fast_never_asks(fitted: TcarRouter, asking: Callable[..., TcarRouter], data: Outcomes) -> None:
    router = asking("fast", Forbidden())
    tasks = [Task(SINGLE), Task(JOINED), Task(ODD), Task("please about the")]
    assert [d.agents for d in router.route_batch(tasks, data.pool)] == [
        d.agents for d in fitted.route_batch(tasks, data.pool)
    ]
    assert not router.asks_model and (router.asked, router.spared) == (0, 0)


async def test_a_model_decides_and_its_calls_are_told(
    asking: Callable[..., TcarRouter], data: Outcomes
) -> None:
    teller = Teller(FLY, COOK)
    router = asking("reason", teller)
    decisions = [
        router.route(SINGLE, data.pool, options=RouteOptions()),
        await router.aroute(SINGLE, data.pool),
    ]
    for decision in decisions:
        assert set(decision.agents) == {COOK, FLY}
        assert (decision.router_cost, decision.router_calls) == (Decimal("0.002"), 1)
        assert (decision.router_prompt_tokens, decision.router_completion_tokens) == (7, 5)
        evidence = decision.evidence
        assert isinstance(evidence, SetEvidence)
        assert evidence.decided_by == "reason" and evidence.reason == "As it was told."
        assert len(evidence.shown) == len(data.pool) and evidence.shown[0] == COOK
    assert decisions[0].evidence == decisions[1].evidence
    assert router.asked == 2
    few = asking("reason", Teller(COOK), shown=5).route(SINGLE, data.pool).evidence
    assert isinstance(few, SetEvidence) and len(few.shown) == 5 and few.shown[0] == COOK


async def test_without_a_model_there_is_one_clear_error(
    asking: Callable[..., TcarRouter], data: Outcomes
) -> None:
    router = asking("reason")
    assert router.asks_model
    with pytest.raises(RouterError, match="use_model"):
        router.route(SINGLE, data.pool)
    with pytest.raises(RouterError, match="no language model to ask"):
        await router.aroute(SINGLE, data.pool)
    assert (await router.aroute(SINGLE, data.pool, model=Teller(FLY))).agents == (FLY,)


def test_a_hybrid_router_asks_only_where_it_is_unsure(
    asking: Callable[..., TcarRouter], data: Outcomes
) -> None:
    router = asking("hybrid", Teller(FLY), hand_over=0.5)
    sure, away = router.route(SINGLE, data.pool), router.route(ODD, data.pool)
    assert sure.agents == (COOK,) and away.abstained
    assert (router.asked, router.spared) == (0, 2)
    assert sure.router_calls == 0 and sure.router_cost == 0
    torn = asking("hybrid", Teller(FLY), hand_over=0.0)
    assert torn.route(SINGLE, data.pool).agents == (FLY,)
    assert (torn.asked, torn.spared) == (1, 0)


async def test_an_answer_that_cannot_be_read_leaves_the_fast_decision(
    fitted: TcarRouter, asking: Callable[..., TcarRouter], data: Outcomes
) -> None:
    for task in (SINGLE, JOINED, ODD):
        router = asking("reason", Teller(text="I would rather not say."))
        fast = fitted.route(task, data.pool)
        for decision in (router.route(task, data.pool), await router.aroute(task, data.pool)):
            assert decision.agents == fast.agents and decision.abstained == fast.abstained
            assert decision.router_calls == 2 and decision.router_cost == Decimal("0.004")
            np.testing.assert_equal(decision.expected_score, fast.expected_score)
            assert "gave no choice" in decision.explain()


def test_a_model_may_turn_away_and_never_lets_in_silently(
    asking: Callable[..., TcarRouter], data: Outcomes
) -> None:
    oos = asking("reason", Teller(text="<Reason>Nobody.</Reason><ID>oos</ID>")).route(SINGLE, data.pool)
    assert oos.abstained and oos.graph is None and oos.router_calls == 1
    # In mode reason the model has the last word, but the decision says that it was alone with it.
    let_in = asking("reason", Teller(COOK)).route(ODD, data.pool)
    assert let_in.agents == (COOK,)
    assert "would have turned the task away" in let_in.explain()


def test_a_model_is_not_shown_agents_below_their_threshold(
    asking: Callable[..., TcarRouter], data: Outcomes
) -> None:
    teller = Teller(COOK)
    router = asking("reason", teller).with_thresholds(dict.fromkeys(data.pool.names[1:], 1.0))
    assert router.route(SINGLE, data.pool).agents == (COOK,)
    assert FLY not in teller.prompts[0]
    nobody = router.with_thresholds({COOK: 1.0})
    assert nobody.route(SINGLE, data.pool).abstained and len(teller.prompts) == 1


def test_a_stranger_chosen_by_the_model_is_told_as_one(
    asking: Callable[..., TcarRouter], data: Outcomes
) -> None:
    pool = data.pool.add(Agent(name="bees", description="bees honey hive"))
    decision = asking("reason", Teller("bees", COOK)).route(SINGLE, pool)
    assert isinstance(decision.evidence, SetEvidence)
    assert {member.agent: member.known for member in decision.evidence.chosen} == {"bees": False, COOK: True}


# -- disk and settings -----------------------------------------------------------------------------
def test_a_saved_router_scores_to_the_bit(data: Outcomes, tmp_path: Path) -> None:
    rows = with_agents(data, TOPICS[3:])
    router = make()
    router.fit(rows, rows.pool, seed=0)
    router = router.with_probes(data.split("train")).with_thresholds({rows.pool.names[0]: 0.4})
    router.save(tmp_path / "r")
    assert sorted(file.name for file in (tmp_path / "r").iterdir()) == ["arrays.safetensors", "config.json"]
    loaded = TcarRouter.load(tmp_path / "r")
    tasks = [*data.split("test").tasks(), Task(JOINED)]
    one, two = (r.score_batch(tasks, data.pool) for r in (router, loaded))
    assert one.raw.tobytes() == two.raw.tobytes() and one.calibrated.tobytes() == two.calibrated.tobytes()
    assert loaded.version == router.version and one.calibration_id == two.calibration_id
    assert [d.agents for d in router.route_batch(tasks, data.pool)] == [
        d.agents for d in loaded.route_batch(tasks, data.pool)
    ]
    file = tmp_path / "r" / "arrays.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(RouterLoadError, match="corrupt"):
        TcarRouter.load(tmp_path / "r")


@pytest.mark.parametrize(
    "settings",
    [{"mode": "slow"}, {"max_agents": 0}, {"shown": 0}, {"agent_cost": -1}, {"false_alarms": 1.0},
     {"tax": -0.1}, {"hand_over": 1.5}, {"tune": True}],
)  # fmt: skip
def test_settings_that_cannot_be_used(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        make(**settings)


def test_another_encoder_before_anything_was_learned() -> None:
    router, pool = make(), pool_of(TOPICS[:3])
    assert router.route(SINGLE, pool).agents == (COOK,)
    router.use_encoder(type(ENCODER)(64))
    assert router.route(SINGLE, pool).agents == (COOK,)


# -- a log of scores -------------------------------------------------------------------------------
def test_a_log_of_scores_gives_one_agent(kit: Any) -> None:
    planted = kit.planted()
    router = make(encoder="hash:256")
    router.fit(planted, planted.pool, seed=0)
    test = planted.split("test")
    assert kit.score(router, test) > float(np.nanmax(test.mean_score)) + 0.15
    decisions = router.route_batch(test.tasks(), planted.pool)
    assert {len(d.agents) for d in decisions} == {1}
    cheap = router.route_batch(test.tasks(), planted.pool, options=RouteOptions(cost_weight=1.0))
    assert {d.agents for d in cheap} == {(planted.pool.names[0],)}
