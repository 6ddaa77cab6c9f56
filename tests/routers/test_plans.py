"""Plans are measured exactly as a run of their graph would come out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.replay import replay
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.plans import AnswerTable, Plan, frontier, matching_weight

NAMES = ("a", "b", "c", "d")


def table_of(answers: list[list[int]]) -> tuple[AnswerTable, Outcomes]:
    """Answers are numbers per agent; 0 is empty, 1 is right."""
    n = len(answers)
    text = np.array([[f"answer: {v}" if v else "" for v in row] for row in answers], object)
    score = np.array([[float(v == 1) for v in row] for row in answers], np.float32)
    queries = Queries(
        query_id=np.array([f"q{i}" for i in range(n)]),
        text=tuple(f"question {i}" for i in range(n)),
        split=np.array(["train"] * n),
    )
    pool = Pool(Agent(name=name) for name in NAMES)
    cost = np.broadcast_to(np.array([0.001, 0.002, 0.01, 0.05]), (n, 4)).copy()
    outcomes = Outcomes(queries=queries, pool=pool, score=score, cost=cost, response=text)
    found = AnswerTable.of(outcomes)
    assert found is not None
    return found, outcomes


rows = st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=20, max_size=30)
plans = st.sampled_from(
    [
        Plan((("a", "b"), ("c",)), ((1.0, 1.0), (1.5,))),
        Plan((("b", "a"), ("c",), ("d",)), ((1.0, 1.0), (1.5,), (2.0,))),
        Plan((("a", "b", "c", "d"),), ((0.3, 0.3, 0.6, 0.9),)),
        Plan((("d",),), ((1.0,),)),
        Plan((("a",), ("d",)), ((1.0,), (1.5,))),
    ]
)


@st.composite
def races(draw: st.DrawFn) -> Plan:
    """Agents one after another until k answers are equal, with weights that only break ties."""
    order = draw(st.permutations(NAMES))
    needed = draw(st.integers(2, 3))
    size = draw(st.integers(needed, 4))
    weights = draw(st.lists(st.sampled_from([1.0, 1.0, 1.004321, 1.02]), min_size=size, max_size=size))
    stages = (tuple(order[:needed]), *((name,) for name in order[needed:size]))
    return Plan(stages, (tuple(weights[:needed]), *((w,) for w in weights[needed:])), needed=needed)


@given(rows, st.one_of(plans, races()))
def test_replay_equals_replaying_the_graph(answers: list[list[int]], plan: Plan) -> None:
    table, outcomes = table_of(answers)
    graph = plan.graph()
    scores, costs = [], []
    for i in range(len(outcomes)):
        assert outcomes.response is not None
        done = replay(graph, dict(zip(NAMES, outcomes.response[i], strict=True)))
        column = NAMES.index(done.winner) if done.winner else NAMES.index(plan.stages[0][0])
        scores.append(float(outcomes.score[i, column]))
        costs.append(sum(float(outcomes.cost[i, NAMES.index(node)]) for node in done.ran))
    won, paid, stops = table.replay(plan)
    np.testing.assert_array_equal(won, scores)
    np.testing.assert_allclose(paid, costs)
    measured = table.measure(plan)
    assert measured.stops == stops
    assert measured.score == pytest.approx(np.mean(scores))
    assert measured.cost == pytest.approx(np.mean(costs))
    assert sum(measured.stops) == pytest.approx(1)


@given(rows, races())
def test_a_race_ends_with_the_last_answer_that_is_needed(answers: list[list[int]], plan: Plan) -> None:
    """By its definition: asked one by one, until k of the given answers are equal."""
    table, outcomes = table_of(answers)
    _, paid, _ = table.replay(plan)
    for i, row in enumerate(answers):
        said: list[int] = []
        for place, name in enumerate(plan.agents):
            if place >= plan.needed and max((said.count(v) for v in said if v), default=0) >= plan.needed:
                break
            said.append(row[NAMES.index(name)])
        asked = [NAMES.index(name) for name in plan.agents[: len(said)]]
        assert paid[i] == pytest.approx(outcomes.cost[i, asked].sum())


def test_a_plan_survives_json() -> None:
    plan = Plan((("a", "b"), ("c",)), ((1.0, 1.0), (1.5,)), 0.5, float("nan"), (0.4, 0.6))
    assert repr(Plan.from_dict(plan.to_dict())) == repr(plan)
    race = Plan((("a", "b"), ("c",)), ((1.0, 1.02), (1.0,)), needed=2)
    assert Plan.from_dict(race.to_dict()).needed == 2
    older = {name: value for name, value in plan.to_dict().items() if name != "needed"}
    assert Plan.from_dict(older).needed == 0


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.001, 1)), min_size=1, max_size=12), st.floats(0, 1))
def test_the_matching_weight_chooses_a_plan_that_reaches_the_target(
    pairs: list[tuple[float, float]], target: float
) -> None:
    learned = frontier([Plan((("a",),), ((1.0,),), s, c) for s, c in pairs])
    unit = max(plan.cost for plan in learned)
    weight = matching_weight(learned, target, unit)
    assert 0 <= weight <= 1
    best = max(learned, key=lambda p: (1 - weight) * p.score - weight * p.cost / unit)
    if target <= learned[-1].score:
        assert best.score >= min(target, learned[-1].score) - 1e-5


def test_too_few_rows_with_text_give_no_table() -> None:
    _, outcomes = table_of([[1, 1, 2, 2]] * 20)
    assert AnswerTable.of(outcomes.take(np.arange(5))) is None
