from __future__ import annotations

import io
import json
from html import escape
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from agentnet.bench.suites import paths, run_suite
from agentnet.bench.suites.compared import markdown_comparisons
from agentnet.bench.suites.paths_report import write_report
from agentnet.errors import DataError, InvalidInput, UnknownRouter
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.packs import save_pack
from agentnet.outcomes.table import Outcomes, Queries

ENTRIES = ["cascade", "knn", "amro_s"]


def turns(n: int = 90) -> Outcomes:
    """Each of three agents is wrong on every third query, no two on the same one: any two others agree."""
    rng = np.random.default_rng(0)
    wrong = rng.permutation(np.arange(n) % 3)
    score = (np.arange(3) != wrong[:, None]).astype(np.float32)
    response = np.full((n, 3), None, object)
    for i in range(n):
        for j in range(3):
            response[i, j] = "The answer is 7" if score[i, j] else f"The answer is {100 + 10 * i + j}"
    queries = Queries(
        query_id=np.array([f"q{i:03}" for i in range(n)]),
        text=tuple(f"question {rng.integers(1000)}" for _ in range(n)),
        split=np.array([("train", "train", "train", "val", "test")[i % 5] for i in range(n)]),
        task=("sums",) * n,
        gold=("7",) * n,
        metric=("exact_match",) * n,
    )
    cost = np.tile([1e-4, 2e-4, 6e-4], (n, 1)) * (0.5 + rng.random((n, 1)))
    pool = Pool(Agent(name=name, description=name) for name in ("small", "medium", "large"))
    return Outcomes(queries=queries, pool=pool, score=score, cost=cost, response=response)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("paths")
    save_pack(turns(), folder / "pack")
    text = io.StringIO()
    run_suite(
        "paths",
        data=[str(folder / "pack")],
        routers=ENTRIES,
        seeds=1,
        out=folder / "out",
        command="agentnet bench run paths --data pack",
        console=Console(file=text, width=80),
        encoder="hash:64",
    )

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} in results.json")

    found: dict = json.loads((folder / "out" / "results.json").read_text(), parse_constant=refuse)
    return found | {"page": (folder / "out" / "report.html").read_text(), "text": text.getvalue()}


def test_a_path_beats_every_agent_where_the_agents_are_wrong_in_turns(results: dict) -> None:
    (pack,) = results["packs"]
    assert [part["split"] for part in pack["parts"]] == ["test", "cross-fitted"]
    for part in pack["parts"]:
        rows = {row["router"]: row for row in part["routers"]}
        assert rows["amro_s"]["score"] == 1.0 and rows["amro_s"]["replay"] == "exact"
        assert max(agent["score"] for agent in part["agents"]) < 0.9
        assert rows["amro_s"]["gain_ci"][0] > 0
        assert max(len(query["agents"]) for query in rows["amro_s"]["per_query"]) == 3


def test_every_pair_of_curves_is_compared_by_both_rules(results: dict) -> None:
    part = results["packs"][0]["parts"][1]
    found = {(item["rule"], item["ours"], item["rival"]): item for item in part["comparisons"]}
    assert set(found) == {
        (rule, "amro_s", rival) for rule in results["rules"] for rival in ("cascade", "knn")
    }
    for item in found.values():
        assert item["points"] or item["beyond"] or item["cheaper"]
        for point in item["points"]:
            assert point["difference"] == pytest.approx(point["ours"] - point["theirs"])
            for kind in ("ci", "ci_cost", "ci_all"):
                assert point[kind][0] <= point["difference"] + 1e-9
                assert point[kind][1] >= point["difference"] - 1e-9
        assert item["above_all"] <= len(item["points"]) and item["below"] <= len(item["points"])
    assert found["settings", "amro_s", "cascade"]["below"] == 0


def test_the_entries_are_told_with_their_settings(results: dict) -> None:
    entries = {entry["label"]: entry for entry in results["entries"]}
    assert list(entries) == ENTRIES
    assert entries["amro_s"]["settings"] == {"recipe": "agentnet", "mode": "greedy"}
    assert entries["knn"]["settings"] == {}
    assert results["kind"] == "replayed" and results["simulated"] is None


def test_the_page_holds_tables_curves_and_differences(results: dict) -> None:
    page = results["page"]
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "pack, cross-fitted: curves at equal cost (replayed)" in page
    assert "amro_s: every point" in page and "no difference" in page and "Simulated" not in page
    lines = results["text"].splitlines()
    assert any("amro_s - cascade" in line for line in lines)
    assert max(len(line.rstrip()) for line in lines if "/" not in line) <= 80
    table = markdown_comparisons(results["packs"][0]["parts"][0], "budgets").splitlines()
    assert len(table) == 2 + 2 and len({line.count("|") for line in table}) == 1


def test_what_was_simulated_is_a_part_of_its_own(results: dict, tmp_path: Path) -> None:
    made = {
        "kind": "simulated",
        "tables": [{"title": "Ablations", "note": "Made up.", "columns": ["a", "b"], "rows": [["<x>", 1]]}],
        "plots": [
            {
                "title": "Drift",
                "x_label": "tasks",
                "y_label": "score",
                "series": [{"name": "rho 0.1", "points": [[0, 0.5], [1, 0.6]]}],
            }
        ],
    }
    write_report(results | {"simulated": made}, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    before, after = page.split("Simulated streams")
    assert "cross-fitted" in before and "cross-fitted" not in after
    assert "&lt;x&gt;" in after and "Drift" in after and "rho 0.1" in after


def test_the_simulated_part_says_so_everywhere(results: dict, tmp_path: Path) -> None:
    said = io.StringIO()
    made = paths.run_simulated(1, Console(file=said, width=200), queries=2000)
    made = json.loads(json.dumps(made, allow_nan=False))
    assert made["kind"] == "simulated" and "simulated: " in said.getvalue()
    write_report(results | {"packs": [], "simulated": made}, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert all(f"<h3>{escape(part['title'])}</h3>" in page for part in [*made["tables"], *made["plots"]])
    assert all("simulated" in part["title"] for part in [*made["tables"], *made["plots"]])
    with pytest.raises(InvalidInput, match="no simulated part"):
        run_suite("routing", data=[], routers=None, seeds=1, out=tmp_path, command="", simulated=False)


def test_the_suite_has_all_baselines_and_both_recipes() -> None:
    labels = [entry.label for entry in paths.entries_of(None)]
    assert labels == [
        "random", "cheapest", "best_single", "knn", "kmeans", "task_best", "cascade", "vote", "oracle",
        "cascade of three", "amro_s", "amro_s of three", "amro_s sampled", "amro_s paper",
        "amro_s paper greedy",
    ]  # fmt: skip
    assert [entry.label for entry in paths.entries_of(["round_robin", "knn"])] == ["round_robin", "knn"]


def test_bad_input_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UnknownRouter, match="nonsense"):
        paths.entries_of(["knn", "nonsense"])
    outcomes = turns(20)
    silent = Outcomes(queries=outcomes.queries, pool=outcomes.pool, score=outcomes.score, cost=outcomes.cost)
    save_pack(silent, tmp_path / "pack")
    with pytest.raises(DataError, match="no recorded texts"):
        run_suite(
            "paths", data=[str(tmp_path / "pack")], routers=["knn"], seeds=1, out=tmp_path, command="",
            encoder="hash:64",
        )  # fmt: skip
