"""The router `agp`: what it learns from, what it cuts, and that what is cut is never asked."""

from __future__ import annotations

import asyncio
import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agentnet.bench.society import Society, shuffled_texts
from agentnet.errors import InvalidInput
from agentnet.graphs.agent import Agent, Backend
from agentnet.graphs.pool import Pool
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.table import Outcomes
from agentnet.routers.agp import AgpRouter
from agentnet.routers.base import RouteOptions
from agentnet.routers.decision import Decision
from agentnet.routers.persist import load
from agentnet.routers.topology.evidence import PruningEvidence
from agentnet.routers.topology.graphs import Graphs
from agentnet.routers.topology.start import plain_graphs
from agentnet.runtime.runtime import Runtime
from agentnet.testing import ScriptedClient

DIALS = (0.0, 0.02, 0.1, 0.4, 0.8, 1.0)


def make(**settings: Any) -> AgpRouter:
    return AgpRouter(encoder="hash:256", **({"generations": 6, "epochs": 10} | settings))


def planted_society() -> Society:
    """Two experts; a helper who makes either better; an adversary. Best: the helper and the right expert."""
    n = 4
    synergy = np.zeros((n, n, 2))
    synergy[2, 0, 0] = synergy[2, 1, 1] = 1.0
    return Society(
        name="planted",
        agents=("ann", "bob", "cat", "dan"),
        descriptions=(
            "Knows algebra: equation polynomial factor root",
            "Knows law: contract clause court verdict",
            "Drafts notes for others",
            "A worker",
        ),
        domains=("algebra", "law"),
        levels=(1.0,),
        skill=np.array([[1.3, -0.2], [-0.2, 1.3], [0.2, 0.2], [-0.9, -0.9]]),
        synergy=synergy,
        susceptibility=np.full(n, 0.2),
        loudness=np.ones(n),
        group=np.arange(n),
        rho=0.0,
        prompt=np.full(n, 100.0),
        completion=np.full(n, 100.0),
        decision=50.0,
        price=5e-5,
    )


SOCIETY = planted_society()


@pytest.fixture(scope="module")
def tasks() -> Outcomes:
    return SOCIETY.outcomes(160)


@pytest.fixture(scope="module")
def simulated(tasks: Outcomes) -> AgpRouter:
    """Learned in the simulator."""
    return fitted(tasks, env=True)


@pytest.fixture(scope="module")
def logged(tasks: Outcomes) -> AgpRouter:
    """Learned from logged runs of random graphs alone."""
    return fitted(SOCIETY.log(tasks, runs=12))


@pytest.fixture(scope="module")
def paper(tasks: Outcomes) -> AgpRouter:
    return fitted(tasks, env=True, recipe="paper", steps=2)


@pytest.fixture(scope="module")
def recorded(kit: Any) -> Outcomes:
    """Recorded answers of four agents, each the best on a topic of its own."""
    data: Outcomes = kit.planted(160)
    return data


@pytest.fixture(scope="module")
def replayed(recorded: Outcomes) -> AgpRouter:
    return fitted(recorded)


@pytest.fixture(scope="module")
def all_kinds(
    simulated: AgpRouter, logged: AgpRouter, paper: AgpRouter, replayed: AgpRouter
) -> dict[str, AgpRouter]:
    return {"simulated": simulated, "logged": logged, "paper": paper, "replayed": replayed}


KINDS = ("simulated", "logged", "paper", "replayed")


def fitted(data: Outcomes, *, env: bool = False, **settings: Any) -> AgpRouter:
    router = make(**settings)
    if env:
        router.use_environment(SOCIETY.environment)
    router.fit(data, data.pool)
    return router


def decide(router: AgpRouter, data: Outcomes, pool: Pool | None = None, dial: float = 0.0) -> list[Decision]:
    return router.route_batch(data.tasks(), pool or data.pool, options=RouteOptions(cost_weight=dial))


def graphs_of(decisions: Sequence[Decision]) -> list[TaskGraph]:
    found = [decision.graph for decision in decisions]
    assert all(graph is not None for graph in found)
    return [graph for graph in found if graph is not None]


def prints(decisions: Sequence[Decision]) -> list[str]:
    return [graph.fingerprint for graph in graphs_of(decisions)]


def value(data: Outcomes, graphs: Graphs) -> float:
    """Mean expected score less the society's price of tokens."""
    env = SOCIETY.environment(data, data.pool, expected=True)
    made = env.run(torch.arange(len(data)), graphs, torch.Generator())
    return float((made.score - SOCIETY.price * made.cost).mean())


def learned_value(router: AgpRouter, data: Outcomes) -> float:
    test = data.split("test")
    chosen = graphs_of(decide(router, test, dial=SOCIETY.dial))
    return value(test, Graphs.of(chosen, data.agents))


def plain_values(data: Outcomes) -> tuple[float, float]:
    """The best single agent's value and the complete graph's."""
    test, plain = data.split("test"), plain_graphs(len(data.agents), "all")
    each = [value(test, plain.take(torch.full((len(test),), i))) for i in range(len(plain))]
    return max(each[: len(data.agents)]), each[-1]


# -- what is learned -----------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["simulated", "logged"])
def test_decisions_are_better_than_the_best_agent_and_than_everybody(
    kind: str, all_kinds: dict[str, AgpRouter], tasks: Outcomes
) -> None:
    single, complete = plain_values(tasks)
    found = learned_value(all_kinds[kind], tasks)
    assert found > single + 0.03 and found > complete + 0.03


def test_texts_exchanged_between_tasks_take_the_gain_of_looking_at_them(
    simulated: AgpRouter, tasks: Outcomes
) -> None:
    """What is left is the best fixed graph: no task is told from another, so that no expert fits it."""
    exchanged = shuffled_texts(tasks)
    blind = learned_value(fitted(exchanged, env=True), exchanged)
    assert learned_value(simulated, tasks) > blind + 0.03


def test_scores_exchanged_between_logged_runs_teach_nothing(tasks: Outcomes, logged: AgpRouter) -> None:
    data = SOCIETY.log(tasks, runs=12)
    scores = np.random.default_rng(0).permutation([run.score for run in data.runs])
    mixed = replace(
        data, runs=tuple(replace(run, score=float(s)) for run, s in zip(data.runs, scores, strict=True))
    )
    assert learned_value(logged, tasks) > learned_value(fitted(mixed), tasks) + 0.03


def test_the_log_says_whose_answers_are_joined(tasks: Outcomes, logged: AgpRouter) -> None:
    """The society's decision reads all kept agents, and so do the graphs learned from its log."""
    graphs = [graph for graph in graphs_of(decide(logged, tasks)) if graph.spatial]
    assert graphs and all(set(graph.outputs) == {n.id for n in graph.nodes} for graph in graphs)


def test_the_adversary_is_cut(simulated: AgpRouter, tasks: Outcomes) -> None:
    assert all("dan" not in graph.agents for graph in graphs_of(decide(simulated, tasks.split("test"))))


# -- the dial ------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["simulated", "replayed"])
def test_a_higher_dial_never_costs_more(
    kind: str, all_kinds: dict[str, AgpRouter], tasks: Outcomes, recorded: Outcomes
) -> None:
    router, data = all_kinds[kind], (recorded if kind == "replayed" else tasks).split("test")
    costs = []
    for dial in DIALS:
        told = [decision.evidence for decision in decide(router, data, dial=dial)]
        costs.append(sum(e.cost for e in told if isinstance(e, PruningEvidence) and e.cost is not None))
    assert all(later <= earlier * 1.001 for earlier, later in pairwise(costs))
    assert costs[-1] < costs[0]


def test_at_the_end_of_the_dial_the_cheapest_graph_is_run(simulated: AgpRouter, tasks: Outcomes) -> None:
    test = tasks.split("test")
    chosen = Graphs.of(graphs_of(decide(simulated, test, dial=1.0)), tasks.agents)
    assert set(SOCIETY.tokens(chosen).tolist()) == {350.0}  # one agent and the decision


def test_a_price_of_tokens_acts_as_the_dial(simulated: AgpRouter, tasks: Outcomes, tmp_path: Path) -> None:
    test = tasks.split("test")
    simulated.save(tmp_path / "router")
    priced = load(tmp_path / "router")
    assert isinstance(priced, AgpRouter)
    dial = 0.2
    priced.token_price = 1000 * dial / (1 - dial) / 350.0  # the dearest agent alone takes 350 tokens
    assert priced.rate(RouteOptions()) == pytest.approx(simulated.rate(RouteOptions(cost_weight=dial)))
    assert prints(decide(priced, test)) == prints(decide(simulated, test, dial=dial))
    assert prints(decide(priced, test)) != prints(decide(simulated, test))


# -- other pools ---------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_pools_of_any_size_and_order(
    kind: str, all_kinds: dict[str, AgpRouter], tasks: Outcomes, recorded: Outcomes
) -> None:
    router, data = all_kinds[kind], recorded if kind == "replayed" else tasks
    test, pool = data.split("test"), data.pool
    usual = prints(decide(router, test))
    assert prints(decide(router, test, Pool(reversed(pool.agents)))) == usual
    strangers = [Agent(name=f"new-{i}", description=f"knows law and court {i}") for i in range(3)]
    pools = [
        pool.subset(pool.names[1:]),
        pool.subset(pool.names[:1]),
        Pool([*pool.agents, *strangers]),
        Pool([*pool.agents[2:], *strangers]),
        Pool(strangers),
        Pool(strangers[:1]),
    ]
    for other in pools:
        for decision in decide(router, test, other)[:8]:
            assert decision.graph is not None
            assert decision.agents and set(decision.agents) <= set(other.names)
            assert decision.candidates == other.names and decision.evidence.lines()
    # Nothing was unlearned by looking at other pools.
    assert prints(decide(router, test)) == usual


def test_a_stranger_takes_the_place_of_the_agent_that_it_resembles(
    simulated: AgpRouter, tasks: Outcomes
) -> None:
    """Bob leaves, and somebody with his description comes: mostly, he is asked where bob was."""
    bob = tasks.pool["bob"]
    newcomer = Agent(name="newcomer", description=bob.description)
    pool = Pool([*(agent for agent in tasks.pool if agent.name != "bob"), newcomer])
    test = tasks.split("test")
    before = ["bob" in graph.agents for graph in graphs_of(decide(simulated, test))]
    after = ["newcomer" in graph.agents for graph in graphs_of(decide(simulated, test, pool))]
    assert np.mean(np.equal(before, after)) > 0.6


# -- what is run ---------------------------------------------------------------------------------
def with_backends(pool: Pool) -> Pool:
    backend = Backend(name="small", model="test/small", price_in_per_mtok="0.1", price_out_per_mtok="0.4")
    return Pool(agent.with_(backend=backend) for agent in pool)


@pytest.mark.parametrize("kind", KINDS)
def test_cut_agents_are_never_called(
    kind: str, all_kinds: dict[str, AgpRouter], tasks: Outcomes, recorded: Outcomes
) -> None:
    router, data = all_kinds[kind], recorded if kind == "replayed" else tasks
    pool = with_backends(data.pool)
    for task in data.split("test").tasks()[:6]:
        client = ScriptedClient(lambda request: f"answer of {request.agent}")
        graph = router.route(task, pool).graph
        assert graph is not None
        cut = set(pool.names) - set(graph.agents)
        with Runtime(pool, router, client=client) as runtime:
            result = runtime.run(task)
        called = [request.agent for request in client.calls]
        assert set(called) == set(graph.agents) and len(called) == len(graph.nodes)
        assert not cut & set(called)
        said = "\n".join(message.content for request in client.calls for message in request.messages)
        assert not any(f"answer of {name}" in said or f"answer of {name}" == result.answer for name in cut)


def test_an_edge_without_message_saves_the_call_where_answers_agree(recorded: Outcomes) -> None:
    """Complete among all, in replay mode: those who come first agree, and nobody else is asked."""
    router = fitted(recorded, hard=False, soft=False, stage_one=False, epochs=0)
    pool, task = with_backends(recorded.pool), recorded.tasks()[0]
    graph = router.route(task, pool).graph
    assert graph is not None and not any(edge.carries for edge in graph.spatial)
    agreeing, differing = ScriptedClient(lambda _: "7"), ScriptedClient(lambda request: f"{request.agent}")
    for client in (agreeing, differing):
        with Runtime(pool, router, client=client) as runtime:
            runtime.run(task)
    assert len(agreeing.calls) == 2 and len(differing.calls) == 4


def test_sync_and_async_runs_agree(simulated: AgpRouter, tasks: Outcomes) -> None:
    pool, task = with_backends(tasks.pool), tasks.split("test").tasks()[0]

    def answer(request: Any) -> str:
        return f"{request.agent} read {len(request.messages[-1].content)} letters"

    async def run_async() -> Any:
        async with Runtime(pool, simulated, client=ScriptedClient(answer)) as runtime:
            return await runtime.arun(task)

    with Runtime(pool, simulated, client=ScriptedClient(answer)) as runtime:
        once = runtime.run(task)
    again = asyncio.run(run_async())
    assert once.answer == again.answer and [s.agent for s in once.steps] == [s.agent for s in again.steps]


# -- evidence ------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_evidence_is_json_and_text_and_a_picture(
    kind: str, all_kinds: dict[str, AgpRouter], tasks: Outcomes, recorded: Outcomes
) -> None:
    router, data = all_kinds[kind], recorded if kind == "replayed" else tasks
    decision = router.route(data.split("test").tasks()[0], data.pool)
    evidence = decision.evidence
    assert isinstance(evidence, PruningEvidence) and decision.graph is not None
    assert json.loads(json.dumps(decision.to_dict()))["evidence"]["agents"]
    assert {part.agent for part in evidence.agents} == set(data.agents)
    kept = {part.agent for part in evidence.agents if part.kept}
    assert kept == set(decision.graph.agents)
    edges = {(edge.source, edge.target) for edge in evidence.edges if edge.kept}
    assert edges == {(edge.source, edge.target) for edge in decision.graph.spatial}
    assert all(0 <= part.probability <= 1 for part in (*evidence.agents, *evidence.edges))
    told = decision.explain()
    assert all(name in told for name in data.agents)
    cut = set(data.agents) - kept
    assert all(any(line.startswith("cut") and name in line for line in evidence.lines()) for name in cut)
    picture = evidence.to_svg()
    assert picture is not None
    titles = "".join(ET.fromstring(picture).itertext())
    assert "before: every agent, every edge" in titles and "after" in titles


def test_the_losses_of_cuts_have_the_right_signs(simulated: AgpRouter, tasks: Outcomes) -> None:
    """On average over tasks: without whom the graph has, it scores less; with the adversary it would."""
    lost: dict[str, list[float]] = {"kept": [], "dan": []}
    for decision in decide(simulated, tasks.split("test"))[:16]:
        evidence = decision.evidence
        assert isinstance(evidence, PruningEvidence)
        for part in evidence.agents:
            if part.kept and sum(p.kept for p in evidence.agents) == 1:
                assert part.loss is None, "without the only agent there is nothing"
                continue
            assert part.loss is not None and part.saved is not None
            if part.kept:
                lost["kept"].append(part.loss)
                assert part.saved > 0
            elif part.agent == "dan":
                lost["dan"].append(part.loss)
                assert part.saved > 0
    assert np.mean(lost["kept"]) > 0.02 > -0.02 > np.mean(lost["dan"])


def test_it_abstains_where_nobody_is_good_enough(simulated: AgpRouter, tasks: Outcomes) -> None:
    decision = simulated.route(tasks.tasks()[0], tasks.pool, options=RouteOptions(abstain_below=0.999))
    assert decision.abstained and decision.graph is None
    evidence = decision.evidence
    assert isinstance(evidence, PruningEvidence) and evidence.to_svg() is None
    assert evidence.lines() and json.dumps(decision.to_dict())


# -- disk ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_router_decides_and_explains_alike(
    kind: str, all_kinds: dict[str, AgpRouter], tasks: Outcomes, recorded: Outcomes, tmp_path: Path
) -> None:
    router, data = all_kinds[kind], (recorded if kind == "replayed" else tasks).split("test")
    router.save(tmp_path / "router")
    loaded = load(tmp_path / "router")
    assert isinstance(loaded, AgpRouter) and loaded.settings == router.settings
    assert {file.suffix for file in (tmp_path / "router").rglob("*") if file.is_file()} <= {
        ".json",
        ".safetensors",
    }
    for dial in (0.0, 0.3):
        mine, other = decide(router, data, dial=dial), decide(loaded, data, dial=dial)
        assert prints(mine) == prints(other)
        for a, b in zip(mine[:5], other[:5], strict=True):
            assert a.to_dict()["evidence"] == b.to_dict()["evidence"]
    few = data.pool.subset(data.pool.names[1:])
    assert prints(decide(router, data, few)) == prints(decide(loaded, data, few))


def test_learning_is_a_function_of_the_seed(recorded: Outcomes, replayed: AgpRouter) -> None:
    assert fitted(recorded).version == replayed.version
    told = [decide(router, recorded)[0].to_dict() for router in (fitted(recorded), replayed)]
    assert told[0] | {"latency_s": 0} == told[1] | {"latency_s": 0}


# -- settings ------------------------------------------------------------------------------------
def test_without_hard_pruning_everybody_takes_part(recorded: Outcomes) -> None:
    graphs = graphs_of(decide(fitted(recorded, hard=False), recorded.split("test")))
    assert all(set(graph.agents) == set(recorded.agents) for graph in graphs)


def test_without_soft_pruning_every_kept_agent_follows_all_before_it(recorded: Outcomes) -> None:
    graphs = graphs_of(decide(fitted(recorded, soft=False), recorded.split("test")))
    assert all(len(g.spatial) == len(g.nodes) * (len(g.nodes) - 1) // 2 for g in graphs)


def test_without_the_first_stage_graphs_of_the_prior_are_chosen_from(recorded: Outcomes) -> None:
    searched, drawn = make(), make(stage_one=False)
    tried = [int(r.fit(recorded, recorded.pool).chosen["graphs_tried"]) for r in (searched, drawn)]
    assert tried[0] > tried[1] > 0 and graphs_of(decide(drawn, recorded.split("test")))


def test_the_papers_decoder_can_stand_in(recorded: Outcomes, tmp_path: Path) -> None:
    router = fitted(recorded, decoder="gram")
    router.save(tmp_path / "router")
    test = recorded.split("test")
    assert prints(decide(load(tmp_path / "router"), test)) == prints(decide(router, test))  # type: ignore[arg-type]


def test_later_rounds_run_only_where_answers_differ(tasks: Outcomes) -> None:
    router = fitted(tasks, env=True, recipe="paper", steps=1, rounds=2)
    graph = next(g for g in graphs_of(decide(router, tasks)))
    assert graph.rounds == 2 and graph.temporal
    assert all(edge.stop is not None and edge.stop.kind == "agreement" for edge in graph.temporal)
    assert {(e.source, e.target) for e in graph.temporal} >= {(n.id, n.id) for n in graph.nodes}


def test_a_decision_agent_merges_the_answers(recorded: Outcomes) -> None:
    editor = recorded.agents[0]
    router = fitted(recorded, decision=editor)
    graphs = graphs_of(decide(router, recorded.split("test")))
    assert all(g.aggregation.kind == "refine" and g.aggregation.agent == editor for g in graphs)
    others = recorded.pool.subset(recorded.agents[1:])
    with pytest.raises(InvalidInput, match=f"'decision' names '{editor}', which is not in the pool"):
        router.route("x", others)


def test_a_decision_agent_that_is_not_there_is_told_at_the_fit(recorded: Outcomes) -> None:
    with pytest.raises(InvalidInput, match="'decision' names 'nobody', which is not in the pool"):
        make(decision="nobody").fit(recorded, recorded.pool)


@pytest.mark.parametrize(
    "settings",
    [
        {"recipe": "both"}, {"decoder": "mlp"}, {"normalise": "x"}, {"generations": -1}, {"epochs": -1},
        {"steps": 0}, {"rollouts": 0}, {"shortlist": 1}, {"rounds": 0}, {"token_price": -1.0},
    ],
)  # fmt: skip
def test_settings_are_checked(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(settings))):
        make(**settings)


def test_the_best_of_a_large_pool_are_shortlisted(recorded: Outcomes) -> None:
    router = fitted(recorded, shortlist=2)
    rows = recorded.queries.split != "test"
    mean = np.nanmean(recorded.score[rows], 0)
    best = [recorded.agents[i] for i in np.argsort(-mean)[:2]]
    assert {a for g in graphs_of(decide(router, recorded)) for a in g.agents} <= set(best)


def test_with_nothing_but_scores_one_agent_answers(recorded: Outcomes) -> None:
    router = make()
    report = router.fit(replace(recorded, response=None), recorded.pool)
    assert "prunes to one agent" in report.notes[0]
    decision = router.route("solve the quadratic equation", recorded.pool)
    assert len(decision.agents) == 1 and "no runs of whole graphs" in decision.explain()
