"""Pictures of a colony say what its arrays say."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from agentnet.errors import InvalidInput
from agentnet.routers.colony.pheromones import Colony
from agentnet.routers.colony.pictures import (
    colony_csv,
    colony_maps,
    colony_page,
    colony_svg,
    shares,
    spread,
    strongest_paths,
)
from agentnet.routers.colony.space import STOP, PathSpace

PAPER = PathSpace(("a", "b", "c"), layers=3)
OURS = PathSpace(("a", "b", "c"), layers=3, stops=True, repeats=False)


def grown(space: PathSpace, *, number: int = 1, seed: int = 0) -> Colony:
    """A colony with a different pheromone on every edge."""
    rng = np.random.default_rng(seed)
    tau = np.where(space.allowed, np.exp(rng.normal(0, 1.5, (2, space.rows, space.columns))), 0.0)
    return Colony(space, ("math", "code"), tau, number)


def tips(svg: str) -> set[str]:
    return {t.text or "" for t in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}title")}


@pytest.mark.parametrize("space", [PAPER, OURS])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 10.0])
def test_shares_are_probabilities_on_the_edges_there_are(space: PathSpace, alpha: float) -> None:
    colony = grown(space)
    p = shares(colony, alpha=alpha)
    assert np.allclose(p.sum(-1), 1) and (p[:, ~space.allowed] == 0).all()
    a, b = np.flatnonzero(space.allowed[1])[:2]
    assert p[0, 1, a] / p[0, 1, b] == pytest.approx((colony.tau[0, 1, a] / colony.tau[0, 1, b]) ** alpha)


def test_maps_are_a_strip_and_matrices_with_the_pheromone_of_every_edge() -> None:
    colony = grown(OURS)
    strip, second, third = colony_maps(colony, "code")
    assert f"start → b: {colony.tau[1, 0, 1]:.6g}" in tips(strip)
    assert f"start → {STOP}: no such edge" in tips(strip)
    assert f"a → c: {colony.tau[1, OURS.row(1, 0), 2]:.6g}" in tips(second)
    assert "a → a: no such edge" in tips(second)
    for agreed, words in ((True, "answers agree"), (False, "answers disagree")):
        value = colony.tau[1, OURS.row(2, 1, agreed), OURS.stop_column]
        assert f"{words}: b → {STOP}: {value:.6g}" in tips(third)
    with pytest.raises(InvalidInput, match="math, code"):
        colony_maps(colony, "poetry")


def test_the_image_has_a_map_for_each_specialist_and_layer() -> None:
    root = ElementTree.fromstring(colony_svg(grown(PAPER)))
    assert len(root.findall("{http://www.w3.org/2000/svg}svg")) == 2 * 3


def test_the_strongest_path_of_the_paper_follows_the_largest_pheromone() -> None:
    colony = grown(PAPER)
    for t, name in enumerate(colony.types):
        row = 0
        for layer, hop in enumerate(strongest_paths(colony)[name]):
            column = int(colony.tau[t, row].argmax())
            assert (hop["layer"], hop["target"]) == (layer + 1, PAPER.agents[column])
            assert hop["pheromone"] == colony.tau[t, row, column]
            assert hop["share"] == pytest.approx(colony.tau[t, row, column] / colony.tau[t, row].sum())
            row = PAPER.row(layer + 1, column) if layer < 2 else 0


def test_the_strongest_tree_branches_ends_at_stops_and_repeats_nobody() -> None:
    tau = np.where(OURS.allowed, 1.0, 0.0)[None].copy()
    tau[0, 0, 0] = tau[0, OURS.row(1, 0), 1] = 5.0
    tau[0, OURS.row(2, 1, True), OURS.stop_column] = 9.0
    tau[0, OURS.row(2, 1, False), 0] = 9.0  # but a has answered already
    tau[0, OURS.row(2, 1, False), 2] = 4.0
    hops = strongest_paths(Colony(OURS, ("math",), tau))["math"]
    assert [(h["source"], h["state"], h["target"]) for h in hops] == [
        ("start", None, "a"),
        ("a", None, "b"),
        ("b", "agree", STOP),
        ("b", "disagree", "c"),
    ]
    tau = tau.copy()
    tau[0, OURS.row(1, 0), OURS.stop_column] = 50.0
    hops = strongest_paths(Colony(OURS, ("math",), tau))["math"]
    assert [h["target"] for h in hops] == ["a", STOP], "nothing follows a stop"


def test_spread_falls_from_one_as_choices_settle() -> None:
    start = Colony.start(OURS, ("math",))
    assert set(spread(start).values()) == {1.0}
    tau = start.tau.copy()
    tau[0, OURS.base(2, True) : OURS.base(2, True) + 3, OURS.stop_column] = 1e9
    settled = spread(Colony(OURS, ("math",), tau))
    assert settled.pop(("math", "layer 3, agree")) < 0.001
    assert set(settled.values()) == {1.0}


def test_csv_has_every_edge_exactly() -> None:
    colony = grown(OURS)
    rows = list(csv.DictReader(io.StringIO(colony_csv(colony))))
    assert len(rows) == 2 * OURS.edges
    assert [float(row["pheromone"]) for row in rows] == colony.tau[:, OURS.allowed].ravel().tolist()
    of_row: dict[tuple[str, ...], float] = {}
    for row in rows:
        key = (row["type"], row["layer"], row["source"], row["state"])
        of_row[key] = of_row.get(key, 0.0) + float(row["share"])
    assert len(of_row) == 2 * OURS.rows and np.allclose(list(of_row.values()), 1)


def test_the_page_shows_first_and_last_snapshot_and_the_lines_between() -> None:
    history = [grown(OURS, number=10 * i, seed=i) for i in range(9)]
    page = colony_page(grown(OURS, number=90, seed=9), history=history, title="a <colony>")
    assert page.count("<section>") == 3 and "a &lt;colony&gt;" in page and "<colony>" not in page
    shown = re.findall(r">snapshot (\d+)</text>", page)
    assert len(set(shown)) == 6 and {"0", "90"} <= set(shown)
    assert "layer 3, disagree: " in page and " at 40</title>" in page
    assert "<script" not in page and "src=" not in page and "href=" not in page
    parser = HTMLParser()
    parser.feed(page)
    parser.close()


def test_without_history_there_is_nothing_over_time() -> None:
    page = colony_page(grown(PAPER), title="t")
    assert "Over time" not in page and "Transition probabilities" in page


def test_a_history_of_another_colony_is_refused() -> None:
    with pytest.raises(InvalidInput, match="path space"):
        colony_page(grown(PAPER), history=[grown(OURS)], title="t")


def test_vanishing_pheromone_is_drawn() -> None:
    tau = np.full((1, PAPER.rows, PAPER.columns), 5e-324)
    tau[0, 0] = [1e300, 1.0, 0.0]
    assert "1e+300" in colony_page(Colony(PAPER, ("math",), tau), title="t")
