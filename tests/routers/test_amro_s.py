"""AMRO-S: what its decisions are, what they learn, and what they tell."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pytest

from agentnet.bench.scoring import Scorer
from agentnet.errors import InvalidInput, RouterError
from agentnet.graphs.agent import Agent, Backend
from agentnet.graphs.live import BackendState, LiveState
from agentnet.graphs.pool import Pool
from agentnet.graphs.replay import replay
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.amro_s import AmroSRouter
from agentnet.routers.base import RouteOptions
from agentnet.routers.colony.paths import PathGraphs
from agentnet.routers.colony.pheromones import Colony
from agentnet.routers.colony.recorded import TreeSums, vote_of
from agentnet.routers.colony.space import STOP, PathSpace
from agentnet.routers.colony.trees import Tree, Utilities, shrunk
from agentnet.routers.colony.walk import walk
from agentnet.routers.colony.warm_start import settle
from agentnet.routers.intents.base import Fixed, OneType, TaskTypes
from agentnet.routers.online import Served
from agentnet.routers.plans import AnswerTable


def recorded(n: int = 300, agents: int = 5, *, seed: int = 0, silent: float = 0.05) -> Outcomes:
    """Agents of unlike skill and price; there are few wrong answers, so that votes matter."""
    rng = np.random.default_rng(seed)
    names = [f"m{j}" for j in range(agents)]
    skill = np.linspace(0.45, 0.8, agents)
    right = rng.random((n, agents)) < skill
    wrong = np.array(["x", "y", "z"])[rng.integers(3, size=(n, agents))]
    text = np.where(right, "right", wrong).astype(object)
    text[rng.random((n, agents)) < silent] = ""
    split = np.where(np.arange(n) % 3 == 0, "test", "train")
    queries = Queries(
        query_id=np.array([f"q{i}" for i in range(n)]),
        text=tuple(f"question {i}" for i in range(n)),
        split=split,
        task=tuple("even" if i % 2 == 0 else "odd" for i in range(n)),
    )
    cost = np.tile(np.geomspace(1, 20, agents) * 1e-4, (n, 1)) * (1 + 0.2 * rng.random((n, agents)))
    score = (text == "right").astype(np.float32)
    return Outcomes(
        queries=queries, pool=Pool(Agent(name=x) for x in names), score=score, cost=cost, response=text
    )


def served(decision: Any, score: float, ran: tuple[str, ...] | None = None, **more: Any) -> Served:
    nodes = tuple(node.id for node in decision.graph.nodes) if ran is None else ran
    return Served(evidence=decision.evidence.to_dict(), ran=nodes, score=score, **more)


# -- trees: sums, graphs and replay say the same ---------------------------------------------------
@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_the_sums_of_trees_are_what_replaying_their_graphs_gives(layers: int) -> None:
    data = recorded(60, 4, silent=0.15)
    table = AnswerTable.of(data)
    assert table is not None
    sums = TreeSums.of(table, np.zeros(len(data), np.intp), 1, layers=layers)
    space = PathSpace(data.agents, layers, stops=True, repeats=False)
    graphs = PathGraphs.of(space, "vote", "default")
    rng = np.random.default_rng(1)
    for _ in range(25):
        a, b, c, d = (int(k) for k in rng.permutation(4))
        columns = [a, b, 4, c, -1, -1, 4, d][: len(space.slots)]
        tree = Tree(a)
        if layers > 1:
            tree = Tree(a, b)
        if layers > 2:
            tree = Tree(a, b, 4, c)
        if layers > 3:
            tree = Tree(a, b, 4, c, d)
        graph = graphs.graph(columns)
        scores, costs = 0.0, 0.0
        for i in range(len(data)):
            told = replay(graph, {name: data.response[i, j] for j, name in enumerate(data.agents)})
            winner = graph.node(told.winner or told.ran[0]).agent
            scores += float(data.score[i, data.agents.index(winner)])
            costs += sum(data.cost[i, data.agents.index(graph.node(name).agent)] for name in told.ran)
        np.testing.assert_allclose(tree.total(sums, 0), [scores, costs], rtol=1e-9)


def test_the_best_tree_is_the_best_of_all_trees() -> None:
    data = recorded(200, 4)
    table = AnswerTable.of(data)
    assert table is not None
    sums = TreeSums.of(table, np.zeros(len(data), np.intp), 1)
    means = shrunk(sums, 0.0)
    for dial in (0.0, 0.05, 0.3, 0.9):
        value = Utilities.of(means, dial, 1e-3, 4)

        def worth(tree: Tree, dial: float = dial) -> float:
            score, cost = tree.total(sums, 0) / len(data)
            return float((1 - dial) * score - dial * cost / 1e-3)

        every = [Tree(a) for a in range(4)]
        for a, b, c, d in permutations(range(4)):
            every += [Tree(a, b, x, y, z) for x in (4, c) for y in (4, c) for z in (4, d)]
        assert worth(value.best(0)) == pytest.approx(max(map(worth, every)), abs=1e-4)


def test_the_vote_of_a_fixed_path_is_what_replaying_it_gives() -> None:
    data = recorded(80, 5, silent=0.2)
    table = AnswerTable.of(data)
    assert table is not None
    graphs = PathGraphs.of(PathSpace(data.agents, 3, repeats=False), "vote", "default")
    rng = np.random.default_rng(0)
    columns = np.array([rng.permutation(5)[:3] for _ in range(len(data))])
    score, cost = vote_of(table, np.arange(len(data)), columns)
    for i in range(len(data)):
        graph = graphs.graph(columns[i].tolist())
        told = replay(graph, dict(zip(data.agents, data.response[i], strict=True)))
        winner = graph.node(told.winner).agent if told.winner else data.agents[columns[i, 0]]
        assert score[i] == data.score[i, data.agents.index(winner)]
        assert cost[i] == pytest.approx(data.cost[i, columns[i]].sum())


# -- fitted ----------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def fitted() -> AmroSRouter:
    data = recorded(600)
    router = AmroSRouter(encoder="hash:64")
    router.fit(data, data.pool)
    return router


def utility(router: AmroSRouter, data: Outcomes, dial: float) -> float:
    test = data.split("test")
    decisions = router.route_batch(test.tasks(), test.pool, options=RouteOptions(cost_weight=dial))
    rows = Scorer(test).score(decisions)
    unit = router.stats.unit_cost
    return float(np.mean([(1 - dial) * r.score - dial * (r.cost_usd or 0) / unit for r in rows]))


def test_it_beats_every_single_agent_and_shuffled_scores_destroy_that() -> None:
    data = recorded(1500)
    # Answers and scores that belong to other agents on other queries.
    order = np.random.default_rng(0).permutation(len(data))
    mixed = replace(
        data, score=data.score[order][:, ::-1].copy(), response=data.response[order][:, ::-1].copy()
    )
    router, other = AmroSRouter(encoder="hash:64"), AmroSRouter(encoder="hash:64")
    router.fit(data, data.pool)
    other.fit(mixed, data.pool)
    best = data.split("test").score.mean(0).max()
    gain, other_gain = utility(router, data, 0.0) - best, utility(other, data, 0.0) - best
    assert gain > 0.02
    assert other_gain < gain / 2  # it still asks several agents, but the wrong ones first


def test_a_higher_dial_never_costs_more(fitted: AmroSRouter) -> None:
    test = recorded(600).split("test")
    spent = []
    for dial in (0.0, 0.02, 0.1, 0.3, 0.6, 1.0):
        rows = Scorer(test).score(
            fitted.route_batch(test.tasks(), test.pool, options=RouteOptions(cost_weight=dial))
        )
        spent.append(sum(row.cost_usd or 0 for row in rows))
    assert all(later <= earlier * 1.001 for earlier, later in pairwise(spent))
    assert spent[-1] < spent[0] / 3


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_the_greedy_walk_of_a_warm_started_colony_takes_the_best_tree(layers: int) -> None:
    data = recorded(300, 5)
    table = AnswerTable.of(data)
    assert table is not None
    sums = TreeSums.of(table, np.arange(300) % 2, 2, layers=layers)
    colony = Colony.start(PathSpace(data.agents, layers, stops=True, repeats=False), ("even", "odd"))
    for dial in (0.0, 0.1, 0.5, 1.0):
        made = settle(colony, sums, dial, 2e-3, pooling=10.0, theta=0.5).colony
        value = Utilities.of(shrunk(sums, 10.0), dial, 2e-3, layers)
        found = walk(made.tau, np.eye(2), np.ones((1, 5)), made.space, np.zeros((2, 8)), greedy=True)
        for t in range(2):
            tree, columns = value.best(t), found.columns[t].tolist()
            assert columns[0] == tree.first
            if layers > 1:
                assert columns[1] == (5 if tree.second is None else tree.second)
            if layers > 2 and tree.second is not None:
                assert columns[2:4] == [tree.agreed, tree.split]
            if layers > 3 and tree.last is not None:
                assert columns[7] == tree.last


def test_a_stop_follows_agreement_and_the_graph_says_so(fitted: AmroSRouter) -> None:
    data = recorded(600)
    decision = fitted.route(data.tasks()[0], data.pool, options=RouteOptions(cost_weight=0.0))
    graph = decision.graph
    assert graph is not None and graph.replayable and len(graph.nodes) >= 3
    third = next(node for node in graph.nodes if node.id.startswith("3"))
    (into,) = [edge for edge in graph.edges if edge.target == third.id]
    assert third.id.startswith("3-split.") and into.stop is not None and into.stop.kind == "agreement"
    hops = decision.evidence.hops
    assert any(hop.chosen == STOP and hop.agreed for hop in hops)
    assert decision.expected_score == pytest.approx(0.8, abs=0.15)


def test_nobody_is_asked_for_nothing_where_prices_are_not_known() -> None:
    data = recorded(300)
    data = replace(data, cost=np.full_like(data.cost, np.nan))
    router = AmroSRouter(encoder="hash:64")
    router.fit(data, data.pool)
    decision = router.route("question 1", data.pool)
    assert len(decision.graph.nodes) >= 3
    assert not [node.id for node in decision.graph.nodes if "-agreed" in node.id]


def test_without_text_it_takes_single_agents() -> None:
    data = replace(recorded(300), response=None)
    router = AmroSRouter(encoder="hash:64")
    report = router.fit(data, data.pool)
    assert "paths of one agent only" in report.notes[0]
    decision = router.route("question 1", data.pool)
    assert decision.agents == (data.agents[int(np.nanmax(data.score) and data.score.mean(0).argmax())],)


@pytest.mark.parametrize("join", ["vote", "chain"])
def test_the_paper_s_paths_have_a_fixed_length(join: Any) -> None:
    data = recorded(300)
    router = AmroSRouter(recipe="paper", join=join, encoder="hash:64")
    router.fit(data, data.pool)
    decisions = router.route_batch(data.tasks(), data.pool)
    for decision in decisions:
        assert decision.graph is not None and len(decision.graph.nodes) == 3
        assert 0 < decision.propensity < 1
        assert all(edge.carries == (join == "chain") and edge.stop is None for edge in decision.graph.edges)
    assert len({d.agents for d in decisions}) > 10
    assert decisions[0].graph.aggregation.kind == ("last" if join == "chain" else "vote")
    greedy = AmroSRouter(recipe="paper", join=join, mode="greedy", encoder="hash:64")
    greedy.fit(data, data.pool)
    assert {d.propensity for d in greedy.route_batch(data.tasks()[:20], data.pool)} == {1.0}


def test_the_propensity_is_how_often_a_path_is_drawn() -> None:
    data = recorded(200, 3)
    router = AmroSRouter(mode="sample", layers=2, theta=5.0, alpha=1.0, encoder="hash:64")
    router.fit(data, data.pool)
    options = RouteOptions(rng=np.random.default_rng(0), cost_weight=0.1)
    decisions = router.route_batch([data.tasks()[0]] * 4000, data.pool, options=options)
    counts: dict[Any, int] = {}
    told = {}
    for d in decisions:
        counts[d.graph] = counts.get(d.graph, 0) + 1
        told[d.graph] = d.propensity
    assert sum(told.values()) == pytest.approx(1.0, abs=1e-4)
    for graph, n in counts.items():
        assert n / 4000 == pytest.approx(told[graph], abs=0.03)


# -- serving: load, health, strangers ----------------------------------------------------------------
def backed(n: int = 3) -> Pool:
    return Pool(
        Agent(name=f"a{i}", backend=Backend(name=f"b{i}", model="openai/x", max_parallel=4)) for i in range(n)
    )


def chances(router: AmroSRouter, pool: Pool, live: LiveState | None) -> dict[str, float]:
    options = RouteOptions(rng=np.random.default_rng(0))
    decisions = router.route_batch(["t"] and [Task_("t")] * 2000, pool, live=live, options=options)
    return {name: np.mean([d.agents[0] == name for d in decisions]) for name in pool.names}


def Task_(text: str) -> Any:
    from agentnet.graphs.task import Task

    return Task(text)


@pytest.mark.parametrize("recipe", ["paper", "agentnet"])
def test_load_slowness_and_failures_turn_traffic_away(recipe: Any) -> None:
    router = AmroSRouter(recipe=recipe, layers=1)
    pool = backed()
    even = chances(router, pool, None)
    assert all(share == pytest.approx(1 / 3, abs=0.05) for share in even.values())
    for state in (
        BackendState(in_flight=12, capacity=4),
        BackendState(latency_s=5.0, usual_latency_s=0.5),
        BackendState(healthy=False),
    ):
        others = {f"b{i}": BackendState(latency_s=0.5, usual_latency_s=0.5) for i in (1, 2)}
        share = chances(router, pool, LiveState({"b0": state, **others}))["a0"]
        assert share < even["a0"] - 0.03
        if not state.healthy:
            assert share == 0
    nobody = LiveState({f"b{i}": BackendState(healthy=False) for i in range(3)})
    assert sum(chances(router, pool, nobody).values()) == pytest.approx(1)


def test_a_stranger_is_tried_but_never_the_first_choice(fitted: AmroSRouter) -> None:
    data = recorded(600)
    pool = data.pool.add(Agent(name="zz_new"))
    tasks = data.split("test").tasks()
    greedy = fitted.route_batch(tasks, pool)
    assert not any("zz_new" in d.agents for d in greedy)
    sampler = AmroSRouter(mode="sample", theta=5.0, encoder="hash:64")
    sampler.fit(data, data.pool)
    assert any("zz_new" in d.agents for d in sampler.route_batch(tasks, pool))


def test_a_colony_that_starts_from_nothing_learns_who_is_good_at_what() -> None:
    pool = Pool(Agent(name=name) for name in ("even", "odd"))
    texts = [f"task {i}" for i in range(800)]
    kinds = {text: ("even", "odd")[i % 2] for i, text in enumerate(texts)}
    onehot = {text: (1, 0) if kind == "even" else (0, 1) for text, kind in kinds.items()}

    def last_share(types: TaskTypes) -> float:
        router = AmroSRouter(layers=1)
        router.use_types(types)
        right = []
        for text in texts:
            decision = router.route(text, pool)
            right.append(decision.agents[0] == kinds[text])
            router.learn([served(decision, float(right[-1]))])
        return float(np.mean(right[-200:]))

    assert last_share(Fixed(("even", "odd"), onehot)) > 0.9
    assert last_share(OneType()) < 0.7


def test_types_are_given_before_the_fit(fitted: AmroSRouter) -> None:
    with pytest.raises(RouterError, match="before"):
        fitted.use_types(OneType())
    data = recorded(300)
    known = {text: (1, 0) if i % 2 == 0 else (0, 1) for i, text in enumerate(data.queries.text)}
    router = AmroSRouter(encoder="hash:64")
    router.use_types(Fixed(("first", "second"), known))
    router.fit(data, data.pool)
    decision = router.route(data.queries.text[1], data.pool)
    assert decision.evidence.types == ("first", "second")
    assert decision.evidence.weights == pytest.approx((0.01, 0.99))


# -- learning while serving ------------------------------------------------------------------------
def test_it_learns_online_from_nothing_and_shuffled_judgements_teach_nothing() -> None:
    pool = Pool(Agent(name=name) for name in ("good", "bad", "worse"))
    rng = np.random.default_rng(0)

    def share(shuffle: bool) -> float:
        router = AmroSRouter(layers=1)
        chosen = []
        for i in range(600):
            decision = router.route(f"task {i}", pool)
            name = decision.agents[0]
            chosen.append(name)
            skill = 0.5 if shuffle else {"good": 0.95, "bad": 0.3, "worse": 0.1}[name]
            router.learn([served(decision, float(rng.random() < skill))])
        assert router.snapshot_number == 600 and router.version.endswith(".600")
        return float(np.mean([name == "good" for name in chosen[-200:]]))

    assert share(False) > 0.9
    assert share(True) < 0.75


def test_a_rejected_path_deposits_nothing_and_the_reader_s_snapshot_stays(fitted: AmroSRouter) -> None:
    data = recorded(300)
    router = AmroSRouter(recipe="paper", join="vote", encoder="hash:64")
    router.fit(data, data.pool)
    before = router.colony
    kept = before.tau.copy()
    decision = router.route(data.tasks()[0], data.pool)
    router.learn([served(decision, 0.0, cost=0.01)])
    np.testing.assert_array_equal(router.colony.tau, kept)
    assert router.learn([served(decision, 1.0, cost=0.01)]) == 1
    assert router.colony is not before and (router.colony.tau != kept).any()
    np.testing.assert_array_equal(before.tau, kept)
    again = router.route(data.tasks()[0], data.pool)
    assert again.evidence.snapshot == router.snapshot_number and again.version.endswith(
        f".{router.snapshot_number}"
    )


def test_only_what_ran_is_credited() -> None:
    pool = Pool(Agent(name=name) for name in "abc")
    router = AmroSRouter(layers=3)
    decision = next(
        d
        for d in router.route_batch([Task_(f"t{i}") for i in range(200)], pool)
        if len(d.graph.nodes) == 3
        and d.graph.nodes[2].id.startswith("3-split")
        and any(h.chosen == STOP and h.agreed for h in d.evidence.hops)
    )
    first, second, _ = (node.id for node in decision.graph.nodes)
    router.learn([served(decision, 1.0, ran=(first, second))])
    space, tau = router.colony.space, router.colony.tau[0]
    start = 0.5
    moved = {(int(r), int(c)) for r, c in np.argwhere(tau > start + 1e-3)}
    b = space.column(second.split(".", 1)[1])
    assert (space.row(2, b, agreed=True), space.stop_column) in moved
    assert not any(row == space.row(2, b, agreed=False) for row, _ in moved)
    assert len(moved) == 3


def test_learning_about_an_agent_that_joined_widens_the_colony() -> None:
    router = AmroSRouter(layers=2)
    small, large = Pool(Agent(name=x) for x in "ab"), Pool(Agent(name=x) for x in "abc")
    router.learn([served(router.route("x", small), 1.0)])
    assert router.colony.space.agents == ("a", "b")
    decisions = router.route_batch([Task_(f"t{i}") for i in range(60)], large)
    assert router.learn([served(d, 1.0) for d in decisions]) == 60
    assert router.colony.space.agents == ("a", "b", "c")


def test_a_snapshot_goes_to_another_process_and_a_strange_one_is_refused(tmp_path: Any) -> None:
    data = recorded(300)
    one = AmroSRouter(mode="sample", encoder="hash:64")
    one.fit(data, data.pool)
    one.save(tmp_path / "r")
    other = AmroSRouter.load(tmp_path / "r")
    one.learn([served(d, 1.0, cost=0.001) for d in one.route_batch(data.tasks()[:30], data.pool)])
    other.adopt(one.snapshot())
    assert other.version == one.version and other.snapshot_number == 1
    np.testing.assert_array_equal(other.colony.tau, one.colony.tau)
    one.save(tmp_path / "r")
    assert AmroSRouter.load(tmp_path / "r").version == one.version
    stranger = AmroSRouter(recipe="paper", encoder="hash:64")
    stranger.fit(data, data.pool)
    for bad in (stranger.snapshot(), b"nonsense", b""):
        with pytest.raises(RouterError):
            other.adopt(bad)
    assert other.version == one.version


def test_evidence_of_another_router_is_left_out(fitted: AmroSRouter) -> None:
    number = fitted.snapshot_number
    assert fitted.learn([Served(evidence={"note": "knn"}, ran=("a",), score=1.0)]) == 0
    assert fitted.snapshot_number == number


def test_evidence_adds_up(fitted: AmroSRouter) -> None:
    data = recorded(600)
    decision = fitted.route(data.tasks()[3], data.pool)
    evidence = decision.evidence
    assert sum(evidence.weights) == pytest.approx(1)
    for hop in evidence.hops:
        assert sum(hop.shares) == pytest.approx(hop.pheromone)
        assert 0 < hop.probability <= 1
        assert hop.runner_up != hop.chosen
    text = decision.explain()
    assert "task type:" in text and "tau" in text and "if they agree" in text


@pytest.mark.parametrize(
    "settings",
    [
        {"layers": 5},
        {"layers": 0},
        {"recipe": "paper", "layers": 17},
        {"dial": 2.0},
        {"rho": 2.0},
        {"theta": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: Any) -> None:
    with pytest.raises(InvalidInput):
        AmroSRouter(**settings)


# -- hard cases --------------------------------------------------------------------------------------
def test_a_cost_that_is_not_known_never_looks_cheap() -> None:
    data = recorded(300)
    cost = data.cost.copy()
    cost[:5, -1] = np.nan
    pricey = replace(data, cost=cost)
    for rows in (pricey, replace(data, cost=np.where(np.arange(5) == 4, np.nan, data.cost))):
        router = AmroSRouter(encoder="hash:64")
        router.fit(rows, rows.pool)
        decision = router.route("question 1", rows.pool, options=RouteOptions(cost_weight=1.0))
        assert decision.agents == ("m0",)


@pytest.mark.parametrize("layers", [1, 3])
def test_a_colony_that_only_ever_walked_one_way_goes_another_when_that_is_closed(layers: int) -> None:
    pool = backed()
    router = AmroSRouter(recipe="paper", layers=layers)
    decision = next(
        d
        for i in range(200)
        if (d := router.route(f"t{i}", pool)).agents == ("a0",) or {n.agent for n in d.graph.nodes} == {"a0"}
    )
    for _ in range(40):
        router.learn([served(decision, 1.0)] * 400)
    live = LiveState({"b0": BackendState(healthy=False)})
    decisions = [router.route(f"u{i}", pool, live=live) for i in range(40)]
    assert all(len(d.graph.nodes) == layers and "a0" not in d.agents for d in decisions)
    assert {d.agents[0] for d in decisions} == {"a1", "a2"}


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_a_closed_agent_stays_closed_without_a_heuristic(beta: float) -> None:
    router = AmroSRouter(layers=1, beta=beta)
    live = LiveState({"b0": BackendState(healthy=False)})
    assert chances(router, backed(), live)["a0"] == 0


def test_busy_agents_are_no_reason_to_stop_early(fitted: AmroSRouter) -> None:
    data = recorded(600)
    pool = Pool(replace(agent, backend=Backend(name=agent.name, model="openai/x")) for agent in data.pool)
    options = RouteOptions(cost_weight=0.0)
    idle = fitted.route(data.tasks()[0], pool, options=options)
    live = LiveState({agent.name: BackendState(in_flight=40, capacity=4) for agent in pool})
    busy = fitted.route(data.tasks()[0], pool, live=live, options=options)
    assert busy.graph == idle.graph and len(idle.graph.nodes) >= 3


@pytest.mark.parametrize("known", [("m0",), ("m0", "m1"), ("m0", "m2", "m4")])
def test_a_stranger_is_never_first_in_a_smaller_pool(fitted: AmroSRouter, known: tuple[str, ...]) -> None:
    data = recorded(600)
    pool = data.pool.subset(known).add(Agent(name="a_new"))
    tasks = data.split("test").tasks()[:20]
    for dial in (0.0, 0.3, 1.0):
        decisions = fitted.route_batch(tasks, pool, options=RouteOptions(cost_weight=dial))
        assert all(d.graph.nodes[0].agent != "a_new" for d in decisions)


def test_an_expected_score_is_told_only_of_the_path_it_was_measured_for(fitted: AmroSRouter) -> None:
    data = recorded(600)
    few = data.pool.subset(("m0", "m1"))
    decision = fitted.route(data.tasks()[0], few)
    heaviest = max(decision.graph.nodes, key=lambda node: node.weight).agent
    assert decision.expected_score == pytest.approx(decision.scores[heaviest].calibrated)


def test_a_snapshot_of_another_fit_is_refused() -> None:
    data = recorded(300)
    one, other = AmroSRouter(encoder="hash:64"), AmroSRouter(encoder="hash:64")
    one.fit(data, data.pool)
    other.fit(recorded(300, seed=7), data.pool)
    with pytest.raises(RouterError, match="fit"):
        other.adopt(one.snapshot())


def test_types_given_anew_start_anew() -> None:
    router, pool = AmroSRouter(layers=1), Pool([Agent(name="a"), Agent(name="b")])
    router.learn([served(router.route("x", pool), 1.0)])
    assert router.version == "unfitted.1" and router.colony.space.agents == ("a", "b")
    router.use_types(OneType("other"))
    assert router.version == "unfitted" and router.snapshot_number == 0
    assert router.learn([Served(evidence={"hops": [{}]}, ran=("a",), score=1.0)]) == 0


@pytest.mark.parametrize(
    "settings", [{"recipe": "papr"}, {"mode": "gredy"}, {"join": "foo"}, {"normalise": "foo"}, {"types": 101}]
)
def test_words_that_are_no_settings_are_refused(settings: Any) -> None:
    with pytest.raises(InvalidInput):
        AmroSRouter(**settings)
