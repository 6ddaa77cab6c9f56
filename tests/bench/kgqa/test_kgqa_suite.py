from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from agentnet.bench.kgqa.record import load_items, record
from agentnet.bench.suites import run_suite
from agentnet.bench.suites.kgqa import ABLATIONS, OURS
from agentnet.bench.suites.kgqa_report import markdown_tables
from agentnet.errors import DataError, InvalidInput, StoreError
from agentnet.routers.registry import make_router
from agentnet.runtime.runtime import Runtime


def run(pack: Path, out: Path, url: str, *routers: str, console: Console | None = None) -> dict:
    return run_suite(
        "kgqa", data=[str(pack)], routers=routers or None, seeds=2, out=out, command="agentnet bench",
        console=console, encoder="hash:128", recording={"traces": url, "record": False},
    )  # fmt: skip


@pytest.mark.parametrize("pack", [60], indirect=True)
async def test_the_suite_finds_what_was_planted(
    pack: Path, runtime: Runtime, url: str, tmp_path: Path
) -> None:
    await record(runtime, runtime.store, load_items(pack))
    runtime.store.flush()
    text = io.StringIO()
    labels = ("best_single", "knn", "vote", "random", "oracle")
    run(pack, tmp_path / "out", url, *labels, console=Console(file=text, width=200))
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["n"] == 60 and results["datasets"] == {"film": 30, "river": 30}
    rows = {row["label"]: row for row in results["rows"]}
    assert set(labels) | {"direct", "majority of all"} <= set(rows) and len(rows) == 6 + 1 + len(labels)
    # No agent is right more than half of the time; who knows the topic is always right.
    assert rows["oracle"]["f1"] == rows["oracle"]["em"] == 1.0
    assert rows["best_single"]["f1"] == pytest.approx(2 / 3) and rows["best_single"]["em"] == 0.0
    assert rows["knn"]["em"] > 0.9
    gain = rows["knn"]["versus"]["best_single"]["f1"]
    assert gain["gain"] > 0.2 and gain["gain_ci"][0] > 0
    assert rows["direct"]["em"] == 0 and rows["direct"]["f1"] == pytest.approx(2 / 3)
    assert rows["majority of all"]["agents_per_question"] == 6
    assert rows["majority of all"]["replay"] == ["exact"]
    asked = [item["query_id"] for item in rows["knn"]["per_query"]]
    assert sorted(asked) == sorted(item.query_id for item in load_items(pack))
    assert rows["random"]["seeds"] == 2 and rows["knn"]["seeds"] == 1
    assert "knn" in text.getvalue() and "F1 over vote" in markdown_tables(results)
    assert "<svg" in (tmp_path / "out" / "report.html").read_text()


def test_ablations_are_settings_that_the_router_takes() -> None:
    assert {entry.router for entry in ABLATIONS} == {"agent_router"} and len(ABLATIONS) == 11 * len(OURS)
    for entry in ABLATIONS:
        make_router(entry.router, **(entry.settings or {}))


def test_without_a_recording_there_is_nothing_to_replay(pack: Path, url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        run(pack, tmp_path / "out", url, "knn")


async def test_too_few_questions_are_refused(pack: Path, runtime: Runtime, url: str, tmp_path: Path) -> None:
    await record(runtime, runtime.store, load_items(pack))
    runtime.store.flush()
    with pytest.raises(DataError, match="too few"):
        run(pack, tmp_path / "out", url, "knn")


def test_other_suites_record_nothing(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="kgqa"):
        run_suite(
            "routing",
            data=[str(pack)],
            routers=None,
            seeds=1,
            out=tmp_path,
            command="",
            recording={"record": False},
        )
