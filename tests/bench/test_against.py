"""Figures beside the best single agent, beside a rival, of whole curves, and of the plain vote."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agentnet.bench.evaluate import Evaluation
from agentnet.bench.points import Point
from agentnet.bench.protocol import RouterRun
from agentnet.bench.suites.plain_vote import plain_vote
from agentnet.bench.suites.routing_against import against, saved_more
from agentnet.bench.suites.routing_aiq import areas, mean_height
from agentnet.graphs.answers import normalise
from agentnet.outcomes.table import Outcomes


def test_ratios_are_of_means_and_unknown_costs_stay_unknown() -> None:
    scores, best = np.array([1.0, 1.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0, 1.0])
    found = against(scores, np.full(4, 1.0), best, np.array([2.0, 6.0, 2.0, 6.0]))
    assert found["gain"] == 0.25 and found["perf_gain"] == pytest.approx(0.5)
    assert found["cost_save"] == pytest.approx(0.75) and found["times_cost"] == pytest.approx(0.25)
    assert found["cost_save_ci"][0] < 0.75 < found["cost_save_ci"][1]
    unknown = against(scores, np.array([1.0, np.nan, 1.0, 1.0]), best, np.full(4, 2.0))
    assert unknown["cost_usd"] is None and unknown["cost_save"] is None and unknown["gain"] == 0.25
    assert against(scores, np.ones(4), np.zeros(4), np.ones(4))["perf_gain"] is None


def test_saving_more_is_paired() -> None:
    rng = np.random.default_rng(0)
    rival = rng.random(400) * 10
    found = saved_more(rival - 0.5, rival, np.full(400, 10.0))
    assert found["difference"] == pytest.approx(0.05) and found["beats"]
    assert found["ci"][1] - found["ci"][0] < 1e-6  # on every query the same amount less
    assert not saved_more(rival, rival, np.full(400, 10.0))["beats"]


def run_of(*points: tuple[float, float], n: int = 200, seed: int = 0) -> list[RouterRun]:
    """A curve of (cost, score) points: noisy scores of that mean."""
    rng = np.random.default_rng(seed)
    noise = rng.random(n)
    curve = tuple(Point(0.0, (noise < score).astype(np.float64), np.full(n, cost)) for cost, score in points)
    evaluation = Evaluation.__new__(Evaluation)
    return [RouterRun("x", 0, evaluation, curve, None, budgets=curve)]


def test_areas_are_compared_on_the_same_resamples() -> None:
    runs = {
        "cascade": run_of((1, 0.5), (4, 0.8)),
        "better": run_of((1, 0.6), (4, 0.9)),
        "dear": run_of((9, 1)),
    }
    found = areas(runs, "cascade", low=1.0, high=4.0)
    assert found["cascade"]["settings"]["aiq"] == pytest.approx(found["cascade"]["budgets"]["aiq"])
    for rule in ("settings", "budgets"):
        assert "versus" not in found["cascade"][rule]
        versus = found["better"][rule]["versus"]
        assert versus["beats"] and versus["rival"] == "cascade"
        own = found["better"][rule]
        assert versus["difference"] == pytest.approx(own["aiq"] - found["cascade"][rule]["aiq"])
        assert versus["ci"][1] - versus["ci"][0] < 0.8 * (own["ci"][1] - own["ci"][0])
        assert found["dear"][rule]["aiq"] == 0  # it can buy nothing below 9
    assert areas(runs, "cascade", low=1.0, high=1.0) == {}
    assert "versus" not in areas({"better": runs["better"]}, "cascade", low=1, high=4)["better"]["settings"]


def test_a_budget_curve_is_taken_as_it_is() -> None:
    """A worse point in the middle counts, where the hull would skip it."""
    points = [(0.0, 0.8), (1.0, 0.4), (2.0, 0.8)]
    assert mean_height(points, low=0, high=2) == pytest.approx(0.6, abs=1e-3)


def test_the_plain_vote_weighs_by_training_scores_alone(table: Outcomes) -> None:
    found = plain_vote(table, crossed=False)
    assert found is not None and found["members"] == 3
    inside, test = table.without_split("test"), table.split("test")
    mean = (inside.score.sum(0) + 1) / (len(inside) + 2)
    weight = np.clip(np.log(mean / (1 - mean)), 0.05, None)
    order = np.argsort(-inside.score.mean(0), kind="stable")
    expected = []
    assert test.response is not None
    for i in range(len(test)):
        votes: dict[str, float] = {}
        for j in order:
            key = normalise(test.response[i, j])
            votes[key] = votes.get(key, 0) + weight[j]
        winner = max(votes, key=lambda key: votes[key])
        first = next(j for j in order if normalise(test.response[i, j]) == winner)
        expected.append(test.score[i, first])
    assert found["score"] == pytest.approx(np.mean(expected))
    assert found["times_cost"] == pytest.approx(test.cost.sum(1).mean() / test.cost[:, order[0]].mean())
    crossed = plain_vote(table, crossed=True)
    assert crossed is not None and crossed["score"] > 0
    assert plain_vote(replace(table, response=None), crossed=False) is None
    (one,) = [plain_vote(table, crossed=False, members=1)]
    assert one is not None and one["gain"] == 0 and one["cost_save"] == pytest.approx(0)
