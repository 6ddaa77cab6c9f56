"""Effect, cost, utility, labels and masks of the graph of queries and agents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.routers.gnn.edges import Edges, assumed_cost, draw_visible, known_costs, utility

TABLE4 = [  # performance, cost, reward in three scenarios; the paper's two contradictory cells are left out
    ("performance", 0.431, 0.871, 0.431), ("balance", 0.431, 0.871, -0.220),
    ("performance", 0.279, 0.031, 0.279), ("balance", 0.279, 0.031, 0.124),
    ("performance", 0.474, 0.812, 0.474), ("balance", 0.285, 0.0551, 0.115), ("cost", 0.283, 0.108, -0.030),
    ("performance", 0.510, 0.871, 0.510), ("balance", 0.470, 0.451, 0.009), ("cost", 0.276, 0.151, -0.066),
    ("performance", 0.517, 0.671, 0.517), ("balance", 0.400, 0.072, 0.164), ("cost", 0.411, 0.031, 0.057),
    ("performance", 0.479, 0.871, 0.479), ("balance", 0.423, 0.031, 0.196), ("cost", 0.279, 0.031, 0.031),
    ("performance", 0.539, 0.725, 0.539), ("balance", 0.448, 0.031, 0.209), ("cost", 0.446, 0.031, 0.064),
    ("performance", 0.588, 0.586, 0.588), ("balance", 0.504, 0.040, 0.231), ("cost", 0.483, 0.031, 0.072),
]  # fmt: skip


def test_the_assumed_cost_is_that_of_the_papers_figure() -> None:
    assert assumed_cost(7, 0.2, 0.2) == pytest.approx(103.8)
    assert assumed_cost(7, 0.9, 0.9) == pytest.approx(467.1)


@pytest.mark.parametrize(("scenario", "effect", "cost", "reward"), TABLE4)
def test_the_utility_is_that_of_the_papers_table(
    scenario: str, effect: float, cost: float, reward: float
) -> None:
    assert utility(effect, cost, scenario) == pytest.approx(reward, abs=0.001 + 1e-9)


def test_all_of_the_best_are_labelled_and_rows_that_tie_are_left_out() -> None:
    nan = np.nan
    score = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0.5, nan, 0.2], [nan, 1, nan], [nan, nan, nan]])
    label, apart = Edges.of(score, None, None).best("performance")
    assert label[0].tolist() == [1, 0, 1] and label[3].tolist() == [1, 0, 0]
    assert apart.tolist() == [True, False, False, True, False, False]


def test_the_scenario_decides_which_agent_is_best() -> None:
    edges = Edges.of(np.array([[1.0, 0.7, 0.2]]), np.array([[1.0, 0.3, 0.0]]), None)
    found = {name: edges.best(name)[0][0].argmax() for name in ("performance", "balance", "cost")}
    assert found == {"performance": 0, "balance": 1, "cost": 2}
    features = edges.features("balance")[0]
    assert torch.allclose(features[1], torch.tensor([0.2, 0.3, 0.7]))


def test_costs_are_scaled_by_the_range_given_and_unknown_ones_do_not_look_cheap() -> None:
    nan = np.nan
    edges = Edges.of(np.zeros((2, 3)), np.array([[2.0, nan, nan], [4.0, 6.0, nan]]), None)
    assert edges.cost.tolist() == [[2, 6, 6], [4, 6, 6]]
    assert edges.scaled(2, 4).cost.tolist() == [[0, 1, 1], [1, 1, 1]]
    assert edges.scaled(3, 3).cost.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_costs_come_from_list_prices_where_none_was_recorded(kit: Any) -> None:
    data = kit.planted(8)
    priced = Pool(
        [Agent(name=data.pool.names[0], price_in_per_mtok="1", price_out_per_mtok="2"), *list(data.pool)[1:]]
    )
    unknown = replace(
        data,
        pool=priced,
        cost=np.full(data.cost.shape, np.nan),
        prompt_tokens=np.full(data.cost.shape, 100.0),
    )
    cost = known_costs(unknown)
    assert cost[:, 0] == pytest.approx((100 + 512 * 2) / 1e6)
    assert np.isnan(cost[:, 1:]).all() and (known_costs(data) == data.cost).all()


def test_visible_and_target_edges_part_the_known_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    known = torch.rand(200, 5, generator=generator) < 0.8
    visible = draw_visible(known, 16, 0.3, generator)
    target = known.T.float() - visible
    assert visible.shape == (16, 5, 200)
    assert set(visible.unique().tolist()) == {0.0, 1.0} and set(target.unique().tolist()) == {0.0, 1.0}
    assert not (visible * target).any()
    assert float(visible.sum() / (16 * known.sum())) == pytest.approx(0.3, abs=0.02)
    rows = (visible[0].sum(0)[known.all(1)] % 5 != 0).float().mean()
    assert rows > 0.5  # single edges, not whole queries
    whole = draw_visible(torch.ones(200, 5, dtype=torch.bool), 16, 0.3, generator, whole=True)
    assert set(whole.sum(1).unique().tolist()) == {0.0, 5.0}
