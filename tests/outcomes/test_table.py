"""Outcomes: labels and rows."""

from __future__ import annotations

import numpy as np
import pytest

from agentnet.errors import DataError
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes, Queries

POOL = Pool([Agent(name="a"), Agent(name="b")])


def queries(**more) -> Queries:
    return Queries(query_id=np.array(["1", "2"]), text=("x", "y"), split=np.array(["train", "test"]), **more)


def test_from_rows_fills_the_named_cells():
    rows = [{"query_id": "2", "agent": "a", "score": 0.5, "cost_usd": 2.0, "response": "r"}]
    outcomes = Outcomes.from_rows(queries(), POOL, rows)
    assert outcomes.score[1, 0] == 0.5 and outcomes.cost[1, 0] == 2 and outcomes.response[1, 0] == "r"
    assert outcomes.observed.sum() == 1


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"query_id": "3", "agent": "a"}], "'3'"),
        ([{"query_id": "1", "agent": "z"}], "'z'"),
        ([{"query_id": "1", "agent": "a"}] * 2, "two outcomes"),
    ],
)
def test_from_rows_refuses_what_it_cannot_place(rows, said):
    with pytest.raises(DataError, match=said):
        Outcomes.from_rows(queries(), POOL, rows)


def test_for_pool_keeps_unknown_agents_unknown_also_in_label_tables():
    labels = Outcomes.from_labels(queries(gold=("a", "new"), metric=("label", "label")), POOL)
    assert labels.out_of_scope.tolist() == [False, True]
    wider = labels.for_pool(Pool([Agent(name="new"), Agent(name="a")]))
    assert np.isnan(wider.score[:, 0]).all() and wider.score[:, 1].tolist() == [1, 0]
    assert wider.out_of_scope.tolist() == [False, False]


def test_tasks_hold_nothing_but_what_a_router_may_see():
    task = queries(gold=("g", "h"), task=("secret", "t"), metric=("choice", "f1")).tasks()[0]
    assert (task.text, task.context, task.history) == ("x", None, ())
    assert task.task_id is None and task.session_id is None
