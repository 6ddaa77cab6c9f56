from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agentnet.bench.intents.data import Labels, joined_packs, label_folders, load_labels
from agentnet.bench.intents.fits import Fits, Shelf, ask
from agentnet.bench.protocol import Entry, Lab
from agentnet.errors import DataError
from agentnet.outcomes.packs import save_pack
from agentnet.outcomes.table import Outcomes


def test_nobody_learns_from_what_abstention_is_judged_on(data: Labels) -> None:
    split = data.outcomes.queries.split
    rows = data.fit_rows()
    assert not set(rows) & set(data.rows("val", inside=False)) and "test" not in split[rows]
    assert set(data.rows("train", inside=False)) <= set(rows)
    assert set(split[data.fit_rows(val=False)]) == {"train"}


def test_rows_of_agents_that_do_not_exist_yet_are_taken_out(data: Labels) -> None:
    found = data.learnable(data.fit_rows(), [0, 2, 3])
    assert found.agents == tuple(data.names[j] for j in (0, 2, 3))
    assert set(found.queries.gold) == {*found.agents, "oos"}
    assert found.out_of_scope.sum() == len(data.rows("train", inside=False))
    assert found.kind == "label"


def test_examples_are_train_rows_of_the_agent_and_more_hold_fewer(data: Labels) -> None:
    few, more, other = data.examples(1, 3, 0), data.examples(1, 6, 0), data.examples(1, 6, 1)
    assert set(few) <= set(more) != set(other)
    assert set(data.gold[more]) == {1} and set(data.outcomes.queries.split[more]) == {"train"}
    pool = data.with_examples([1], 3, 0)
    assert pool.names == data.names
    assert [len(agent.examples) for agent in pool] == [0, 3, 0, 0, 0, 0]
    assert pool.agents[1].examples == tuple(data.text(i) for i in few)


def test_packs_are_joined_over_all_their_agents(data: Labels) -> None:
    made = joined_packs([data, replace(data, name="other")])  # every name stands twice
    assert made.agents[0] == "alarm (made_up)" and len(made.agents) == 12
    assert set(made.queries.gold) == set(made.agents)
    assert set(made.queries.split) == {"train", "val"} and not made.out_of_scope.any()
    assert joined_packs([data]).agents == data.names
    with pytest.raises(DataError, match="no other pack"):
        joined_packs([])


def test_only_label_packs_are_taken(tmp_path: Path, folder: Path, lab: Lab, table: Outcomes) -> None:
    assert label_folders([str(folder.parent)]) == [folder] == label_folders([str(folder)])
    with pytest.raises(DataError, match="holds no data pack"):
        label_folders([str(tmp_path)])
    save_pack(table, tmp_path / "recorded")
    with pytest.raises(DataError, match="outcomes, not labels"):
        load_labels(tmp_path / "recorded", lab)


def test_a_shelf_makes_a_figure_once(tmp_path: Path) -> None:
    shelf, made = Shelf(tmp_path), []
    for _ in range(2):
        assert shelf.get("a b/c", lambda: made.append(1) or {"x": float("nan")}) == {"x": None}
    assert made == [1] and shelf.peek("another") is None


def test_a_fit_is_kept_and_found_again(data: Labels, lab: Lab, tmp_path: Path) -> None:
    fits = Fits(tmp_path, lab)
    first, _ = fits.full(Entry.of("knn"), data, 0)
    again, _ = fits.full(Entry.of("knn"), data, 0)
    assert again is not first and again.version == first.version
    test = data.rows("test", inside=True)
    found, other = (ask(router, data.tasks(test), data.pool) for router in (first, again))
    assert np.allclose(found.probability, other.probability) and found.chosen == other.chosen
    assert found.hit(data.gold[test]).mean() > 0.9 and set(found.size) == {1}
    assert ask(first, [], data.pool).probability.shape == (0, 6)


def test_a_router_is_asked_without_turning_anybody_away(data: Labels, lab: Lab, tmp_path: Path) -> None:
    router, _ = Fits(tmp_path, lab).full(Entry.of("knn"), data, 0)
    strict = router.with_options(abstain_below=1.0)
    outside = data.tasks(data.rows("val", inside=False))
    assert all(decision.abstained for decision in strict.route_batch(outside, data.pool))
    assert set(ask(strict, outside, data.pool).size) == {1}
