"""Suite ``judges``: policies are apart, labels few, truth stays hidden, and the report says what was met."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentnet.bench.suites import run_suite
from agentnet.bench.suites.judges_measure import measure
from agentnet.bench.suites.judges_world import GAP, LABELS, POLICIES, draw, kendall
from agentnet.errors import InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.packs import save_pack
from agentnet.outcomes.table import Outcomes, Queries

AGENTS = 6


def table(n: int = 480) -> Outcomes:
    """Six agents of quality 0.15 to 0.85."""
    rng = np.random.default_rng(0)
    quality = np.linspace(0.15, 0.85, AGENTS)
    score = (rng.random((n, AGENTS)) < quality).astype(np.float32)
    queries = Queries(
        query_id=np.array([f"q{i:03}" for i in range(n)]),
        text=tuple(f"question {i} about {rng.integers(9)}" for i in range(n)),
        split=np.array([("train", "test", "val", "test")[i % 4] for i in range(n)]),
    )
    pool = Pool([Agent(name=f"agent {i}") for i in range(AGENTS)])
    return Outcomes(queries=queries, pool=pool, score=score, cost=np.full((n, AGENTS), 1e-4))


@pytest.mark.parametrize("spacing", ["spread", "tight", "difficulty"])
def test_a_draw_is_what_it_says(spacing: str) -> None:
    rows = table().split("test")
    expected = np.tile(np.linspace(0.15, 0.85, AGENTS), (len(rows), 1))
    drawn = draw(rows, expected, spacing, np.random.default_rng(0))
    assert len(drawn.true) == POLICIES and np.diff(drawn.true).min() >= GAP - 1e-9
    assert drawn.table.labelled.sum() == LABELS
    assert ((drawn.false_accept >= 0.1) & (drawn.false_accept <= 0.3)).all()
    assert (drawn.false_accept[drawn.favoured], drawn.false_reject[drawn.favoured]) == (0.3, 0.1)
    again = draw(rows, expected, spacing, np.random.default_rng(0))
    assert np.array_equal(again.table.gold, drawn.table.gold, equal_nan=True)


def test_estimates_see_no_truth_but_the_labels() -> None:
    """Other true values, the same log and labels: the same estimates."""
    from dataclasses import replace

    rows = table().split("test")
    expected = np.tile(np.linspace(0.15, 0.85, AGENTS), (len(rows), 1))
    drawn = draw(rows, expected, "spread", np.random.default_rng(0))
    first, second = measure(drawn), measure(replace(drawn, true=drawn.true[::-1].copy()))
    assert first["values"] == second["values"]
    assert first["tau"]["corrected"] == -second["tau"]["corrected"] > 0


def test_kendall_counts_pairs() -> None:
    assert kendall([1, 2, 3], [1, 2, 3]) == 1 and kendall([1, 2, 3], [3, 2, 1]) == -1
    assert kendall([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / 3)


def test_the_suite_writes_results_and_report(tmp_path: Path) -> None:
    save_pack(table(), tmp_path / "pack")
    arguments: dict[str, Any] = {
        "data": [str(tmp_path / "pack")],
        "seeds": 1,
        "command": "agentnet bench run judges",
    }
    results = run_suite("judges", routers=None, out=tmp_path / "out", encoder="hash:64", **arguments)
    stored = json.loads((tmp_path / "out" / "results.json").read_text())
    assert stored["kind"] == "simulated judge on replayed outcomes" and stored["draws"] == 4
    (pack,) = stored["packs"]
    assert [part["spacing"] for part in pack["parts"]] == ["spread", "tight", "difficulty"]
    rows = {row["estimator"]: row for row in pack["parts"][0]["estimators"]}
    assert rows["known"]["tau"] >= rows["corrected"]["tau"] > rows["ppi"]["tau"]
    assert rows["corrected"]["rmse"] < rows["raw"]["rmse"]
    assert len(pack["parts"][0]["draws"]) == 4
    page = (tmp_path / "out" / "report.html").read_text()
    assert (
        "simulated" in page
        and ("met" in page or "missed" in page)
        and "http" not in page.replace("http://www.w3.org", "")
    )
    assert results["packs"][0]["n"] == 480
    with pytest.raises(InvalidInput, match="its own policies"):
        run_suite("judges", routers=["knn"], out=tmp_path, **arguments)
