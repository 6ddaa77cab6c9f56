from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agentnet.bench.evaluate import evaluate
from agentnet.bench.points import Point, pick
from agentnet.bench.protocol import DIAL, FOLDS, Lab, compact, seeds_for
from agentnet.outcomes.encoders import CachedEncoder, HashingEncoder
from agentnet.outcomes.table import Outcomes
from agentnet.routers.registry import make_router


@pytest.fixture
def lab() -> Lab:
    plain = HashingEncoder(128)
    return Lab(CachedEncoder(plain), plain)


def scrambled(outcomes: Outcomes) -> Outcomes:
    """The same table with the test rows' outcomes turned upside down."""
    test = outcomes.queries.split == "test"
    score, cost = outcomes.score.copy(), outcomes.cost.copy()
    score[test] = 1 - score[test]
    cost[test] = cost[test][:, ::-1] * 100
    response = outcomes.response
    if response is not None:
        response = response.copy()
        response[test] = "nonsense"
    return replace(outcomes, score=score, cost=cost, response=response)


@pytest.mark.parametrize("name", ["random", "cheapest", "best_single", "knn", "kmeans", "cascade", "vote"])
def test_nothing_is_selected_on_test_rows(lab: Lab, table: Outcomes, name: str) -> None:
    (honest,) = lab.run(name, table, seeds=[0], timed=False)
    (blind,) = lab.run(name, scrambled(table), seeds=[0], timed=False)
    assert honest.evaluation.router_version == blind.evaluation.router_version
    assert honest.matched is not None and blind.matched is not None
    assert honest.matched.cost_weight == blind.matched.cost_weight
    assert [r.chosen for r in honest.evaluation.rows] == [r.chosen for r in blind.evaluation.rows]
    best = honest.evaluation.best_single, blind.evaluation.best_single
    assert best[0] is not None and best[1] is not None and best[0].agent == best[1].agent


def test_the_curve_goes_from_quality_to_cost_in_steps_that_matter(lab: Lab, table: Outcomes) -> None:
    assert list(DIAL) == sorted(set(DIAL)) and DIAL[0] == 0 and DIAL[-1] == 1
    (run,) = lab.run("knn", table, seeds=[0], timed=False)
    costs = [point.cost for point in run.curve]
    assert len({round(cost, 9) for cost in costs}) >= 4
    assert costs[0] > costs[-1]
    assert np.array_equal(run.curve[0].scores, run.evaluation.scores)
    test = table.split("test")
    assert costs[-1] == pytest.approx(test.cost[:, 0].mean())


def test_scores_predicted_once_give_the_decisions_of_predicting_anew(lab: Lab, table: Outcomes) -> None:
    router, _ = lab.fit("kmeans", table, seed=0)
    test = table.split("test")
    for point in lab.curve(router, test, seed=0)[::6]:
        alone = evaluate(
            router.with_options(cost_weight=point.cost_weight), table, split="test", time_decisions=False
        )
        assert np.array_equal(alone.scores, point.scores)


def test_cross_fitting_uses_every_row_once_in_the_order_of_the_table(lab: Lab, table: Outcomes) -> None:
    (single,) = lab.cross_fitted("best_single", table, seeds=[0])
    ids = [row.query_id for row in single.evaluation.rows]
    assert ids == table.queries.query_id.tolist()
    at = [table.pool.index(row.agents[0]) for row in single.evaluation.rows]
    assert np.array_equal(single.evaluation.scores, table.score[np.arange(len(table)), at])
    best = single.evaluation.best_single
    assert best is not None and np.array_equal(best.scores, single.evaluation.scores)
    (oracle,) = lab.cross_fitted("oracle", table, seeds=[0])
    assert np.array_equal(oracle.evaluation.scores, table.score.max(1))
    assert oracle.evaluation.oracle == pytest.approx(table.score.max(1).mean())


def test_a_cross_fitted_row_is_never_learned_from(lab: Lab, table: Outcomes) -> None:
    """With noise for outcomes nothing can be predicted; a leak would look like skill."""
    rng = np.random.default_rng(3)
    noise = replace(table, score=(rng.random(table.score.shape) < 0.5).astype(np.float32), response=None)
    (run,) = lab.cross_fitted("knn", noise, seeds=[0])
    assert run.evaluation.score < 0.65


def test_short_answers_vote_as_the_texts_do(table: Outcomes) -> None:
    short = compact(table)
    assert short.response is not None and max(map(len, short.response.ravel())) <= 1
    for name in ("vote", "cascade"):
        results = []
        for outcomes in (table, short):
            router = make_router(name)
            router.fit(outcomes, outcomes.pool, seed=0)
            results.append(evaluate(router, outcomes, time_decisions=False))
        assert results[0].router_version == results[1].router_version
        assert [(r.agents, r.answer_from) for r in results[0].rows] == [
            (r.agents, r.answer_from) for r in results[1].rows
        ]


def test_seeds_are_for_routers_that_draw(table: Outcomes, lab: Lab) -> None:
    assert list(seeds_for("best_single", 5)) == [0] and list(seeds_for("kmeans", 5)) == [0, 1, 2, 3, 4]
    runs = lab.run("random", table, seeds=range(3), timed=False)
    assert len({tuple(run.evaluation.scores) for run in runs}) == 3


def test_the_operating_point_costs_least_of_those_good_enough(lab: Lab, table: Outcomes) -> None:
    inside = table.without_split("test")
    at = lab.match("best_single", inside, seed=0)
    assert at is not None
    (run,) = lab.run("best_single", table, seeds=[0], timed=False)
    assert run.matched is not None and run.matched.cost_weight == DIAL[at[0]]
    assert run.near is not None and run.near.cost_weight == DIAL[at[1]] and run.near.cost <= run.matched.cost
    assert at.double is not None and run.double is not None
    assert run.double.cost_weight == DIAL[at.double]
    unknown = replace(inside, cost=np.full(inside.cost.shape, np.nan))
    assert lab.match("best_single", unknown, seed=0) is None
    assert FOLDS == 5


def test_the_point_within_twice_the_cost_scores_most_of_what_it_may_pay() -> None:
    def point(weight: float, score: float, cost: float) -> Point:
        return Point(weight, np.array([score]), np.array([cost]))

    curve = [point(0, 0.9, 5.0), point(0.2, 0.8, 3.9), point(0.5, 0.8, 3.0), point(1, 0.5, 1.0)]
    found = pick(curve, 0.7, 2.0)
    assert found == (2, 2, 2)
    assert pick(curve, 0.7, 2.5) == (2, 2, 0)  # exactly twice is still paid
    assert pick(curve, 0.95, 0.1) == (0, 0, 3)  # nothing is within the budget: the cheapest
    assert pick(curve, 0.7) == (2, 2, None)
    assert pick([point(0, 0.9, float("nan"))], 0.7, 2.0) is None
