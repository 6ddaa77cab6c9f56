"""What is learned of a label pack: bounds are kept on the rows they were learned from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agentnet.errors import DataError
from agentnet.graphs.agent import Agent
from agentnet.routers.sets.fitting import Aims, _threshold, held_agents, labelled
from agentnet.routers.sets.linear import Columns, chances

from .planted import TOPICS, encode, name, pack


@pytest.mark.parametrize("share", [0.0, 0.01, 0.02, 0.05, 0.1, 0.33])
@pytest.mark.parametrize("kind", ["false_alarms", "false_accepts"])
@pytest.mark.parametrize("n", [1, 10, 36, 130])
def test_a_threshold_keeps_its_bound_on_the_rows_it_was_learned_from(share: float, kind: str, n: int) -> None:
    rng = np.random.default_rng(n)
    logits = rng.standard_normal((n, 4)).astype(np.float32) * 3
    texts = [f"word{i} other{i * 7}" for i in range(n)]
    columns = Columns(
        tuple("abcd"),
        rng.standard_normal((512, 4)).astype(np.float32),
        rng.standard_normal(4).astype(np.float32),
    )
    cut, notes = _threshold(logits, columns, 0.8, encode, texts, Aims(**{"false_alarms": 0.05, kind: share}))
    inside = chances(logits, 0.8)[1]
    strange = chances(columns.logits(encode(texts)), 0.8)[1]
    if kind == "false_alarms":
        assert (cut is None) == (share == 0)
        if cut is not None:
            assert (inside < cut).mean() <= share
            assert (inside < cut).mean() > share - 1.5 / n  # and no stricter than it has to be
    else:
        assert cut is not None and (strange >= cut).mean() <= share
        assert (strange >= cut).mean() > share - 1.5 / n
    assert cut is None or len(notes) == 1


def test_labels_of_a_pool_with_a_further_agent() -> None:
    rows = pack(each=8).without_split("test")
    data = labelled(rows.for_pool(rows.pool.add(Agent(name="new"))), 0)
    names = [data.pool.names[i] for i in data.labels]
    assert names == [gold for gold in rows.queries.gold if gold != "oos"]
    assert len(data.outside) == int(rows.out_of_scope.sum())


def test_rows_without_a_right_agent_teach_nothing() -> None:
    rows = pack(each=8).without_split("test")
    blank = replace(rows, queries=replace(rows.queries, metric=("",) * len(rows)))
    data = labelled(blank, 0)  # nothing is out of scope where no metric says so
    assert data.outside == () and len(data.texts) == int((~rows.out_of_scope).sum())
    with pytest.raises(DataError, match="nothing to learn from"):
        labelled(rows.take(rows.out_of_scope), 0)


@pytest.mark.parametrize("split", ["train", "val"])
def test_rows_are_held_back_where_the_pack_holds_back_none_or_all(split: str) -> None:
    rows = pack(each=16)
    data = labelled(rows.with_split(np.full(len(rows), split)), 0)
    assert 0 < data.val.mean() < 0.3
    assert len(data.present) == len(TOPICS)
    again = labelled(rows.with_split(np.full(len(rows), split)), 0)
    np.testing.assert_array_equal(data.val, again.val)


def test_few_agents_are_all_shown_to_the_encoder() -> None:
    data = labelled(pack(each=8), 0)
    assert held_agents(data, 0).size == 0
    assert name(TOPICS[0]) in data.pool
