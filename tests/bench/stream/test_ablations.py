"""The ablations' shape, and that they call themselves simulated."""

from __future__ import annotations

import json

import pytest

from agentnet.bench.stream import ablations
from agentnet.errors import InvalidInput


@pytest.fixture(scope="module")
def result():
    said: list[str] = []
    found = ablations.run(2, said.append, queries=2000)
    assert len(said) > 20
    return found


def test_it_is_json_and_simulated(result):
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["kind"] == "simulated"
    assert all("(simulated)" in part["title"] for part in (*result["tables"], *result["plots"]))


def test_tables_are_whole(result):
    for table in result["tables"]:
        assert set(table) == {"title", "note", "columns", "rows"}
        assert table["rows"] and all(len(row) == len(table["columns"]) for row in table["rows"])
    for plot in result["plots"]:
        assert set(plot) == {"title", "x_label", "y_label", "series"}
        assert all(len(point) == 2 for series in plot["series"] for point in series["points"])


def test_every_ablation_is_there(result):
    titles = " ".join(table["title"] for table in result["tables"])
    for word in ("Specialists", "gate", "eta", "Judge", "Evaporation", "worlds"):
        assert word in titles
    noise = next(table for table in result["tables"] if table["title"].startswith("Judge"))
    assert len(noise["rows"]) == 6
    rhos = next(table for table in result["tables"] if table["title"].startswith("Evaporation"))
    assert {row[1] for row in rhos["rows"]} == {0.005, 0.01, 0.02, 0.05, 0.1, 0.2}


def test_too_little_is_refused():
    with pytest.raises(InvalidInput, match="2000"):
        ablations.run(1, queries=100)
