from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from agentnet.bench.suites import run_suite
from agentnet.errors import DataError, InvalidInput, UnknownRouter
from agentnet.outcomes.packs import save_pack
from agentnet.outcomes.table import Outcomes

BASELINES = (
    "random", "cheapest", "best_single", "knn", "kmeans", "task_best", "cascade", "vote", "oracle"
)  # fmt: skip


@pytest.fixture
def pack(tmp_path: Path, table: Outcomes) -> Path:
    folder = tmp_path / "packs" / "tiny"
    save_pack(table, folder)
    return folder


def run(pack: Path, out: Path, *routers: str, console: Console | None = None) -> dict:
    return run_suite(
        "routing",
        data=[str(pack)],
        routers=routers or BASELINES,
        seeds=2,
        out=out,
        command="agentnet bench run routing --data packs/tiny",
        console=console,
        encoder="hash:128",
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_suite_writes_results_and_a_page_drawn_from_them(pack: Path, tmp_path: Path) -> None:
    text = io.StringIO()
    out = tmp_path / "out"
    run(pack.parent, out, console=Console(file=text, width=80))

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} in results.json")

    results = json.loads((out / "results.json").read_text(), parse_constant=refuse)
    assert results["kind"] == "replayed" and results["command"].startswith("agentnet bench run")
    (tiny,) = results["packs"]
    assert [part["split"] for part in tiny["parts"]] == ["test", "cross-fitted"]
    for part, n in zip(tiny["parts"], (30, 150), strict=True):
        rows = {row["router"]: row for row in part["routers"]}
        assert tuple(rows) == BASELINES
        assert part["n"] == n
        for row in rows.values():
            assert len(row["per_query"]) == n
            assert [q["query_id"] for q in row["per_query"]] == sorted(
                q["query_id"] for q in row["per_query"]
            )
            assert row["gain_ci"][0] <= row["gain"] <= row["gain_ci"][1]
            assert sum(row["selection"].values()) == pytest.approx(1)
        assert rows["best_single"]["gain"] == 0 == rows["best_single"]["gap_closed"]
        assert rows["oracle"]["score"] == pytest.approx(part["oracle"])
        assert rows["oracle"]["gap_closed"] == pytest.approx(1) and rows["oracle"]["matched"] is None
        assert rows["random"]["seeds"] == 2 and rows["knn"]["seeds"] == 1
        assert rows["cheapest"]["collapsed"] and not rows["random"]["collapsed"]
        assert set(rows["knn"]["versus"]) == {"kmeans"} and set(rows["vote"]["versus"]) == {"knn", "kmeans"}
        assert rows["knn"]["matched"]["cost_save"] <= 1
        for row in rows.values():
            if row["router"] != "oracle":
                low, high = row["double"]["perf_gain_ci"]
                assert low <= row["double"]["perf_gain"] <= high
                low, high = row["near"]["cost_save_ci"]
                assert low <= row["near"]["cost_save"] <= high
                assert row["double"]["times_cost"] <= 2.4  # twice on train and val
        assert rows["cascade"]["area"]["settings"]["aiq"] == pytest.approx(rows["cascade"]["aiq"], abs=1e-3)
        assert "versus" not in rows["cascade"]["area"]["settings"]
        assert set(rows["random"]["matched"]["versus"]) == {"knn", "kmeans", "task_best", "cascade", "vote"}
        assert rows["knn"]["matched"]["versus"] == {}
        difference = rows["knn"]["area"]["budgets"]["versus"]
        assert difference["ci"][0] <= difference["difference"] <= difference["ci"][1]
        assert part["comparisons"] == []
        assert part["plain_vote"]["members"] == 3 and part["plain_vote"]["times_cost"] > 1
    page = (out / "report.html").read_text()
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert page.count("<svg") >= 2 and "tiny, cross-fitted" in page and "cascade: share per agent" in page
    assert max(len(line.rstrip()) for line in text.getvalue().splitlines() if "/" not in line) <= 80


def test_bad_names_are_refused_before_any_work(pack: Path, tmp_path: Path, labels: Outcomes) -> None:
    with pytest.raises(InvalidInput, match="no suite 'x'"):
        run_suite("x", data=[], routers=None, seeds=1, out=tmp_path, command="")
    with pytest.raises(UnknownRouter, match="nonsense"):
        run(pack, tmp_path / "out", "knn", "nonsense")
    with pytest.raises(DataError, match="holds no data pack"):
        run(tmp_path / "nowhere", tmp_path / "out")
    save_pack(labels, tmp_path / "intents")
    with pytest.raises(DataError, match="holds labels"):
        run(tmp_path / "intents", tmp_path / "out", "random")
    assert not (tmp_path / "out").exists()
