"""Suite `intents` end to end on a made-up label pack."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from agentnet.bench.suites import intents_live, run_suite
from agentnet.bench.suites.intents_ambiguity import OWN, TOLD
from agentnet.bench.suites.intents_ambiguity import report as ambiguity_report
from agentnet.bench.suites.intents_full import OURS, best_baseline
from agentnet.bench.suites.intents_report import markdown_tables
from agentnet.bench.suites.intents_unseen import report as unseen_report
from agentnet.errors import DataError, InvalidInput, UnknownRouter
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.packs import save_pack
from agentnet.outcomes.table import Outcomes, Queries

TOPICS = {
    "alarm": "wake alarm ring morning clock",
    "cards": "card lost stolen block bank",
    "music": "song play album singer louder",
    "weather": "rain sunny forecast umbrella wind",
    "taxi": "taxi ride pick airport driver",
}


def save_labels(folder: Path, seed: int, *, suffix: str = "") -> None:
    """Five intents, and utterances for nobody in train and val."""
    rng = np.random.default_rng(seed)
    rows = [
        (split, f"{name}{suffix}", " ".join(rng.choice(words.split(), 3, replace=False)))
        for split, size in (("train", 11), ("val", 5), ("test", 6))
        for name, words in TOPICS.items()
        for _ in range(size)
    ]
    rows += [(s, "oos", " ".join(rng.choice(list("qxzjvkw"), 8))) for s in ("train", "val") for _ in range(5)]
    queries = Queries(
        query_id=np.array([f"q{i:03}" for i in range(len(rows))]),
        text=tuple(f"{text} {i}" for i, (_, _, text) in enumerate(rows)),
        split=np.array([split for split, _, _ in rows]),
        gold=tuple(name for _, name, _ in rows),
        metric=("label",) * len(rows),
    )
    pool = Pool(Agent(name=f"{name}{suffix}", description=words) for name, words in TOPICS.items())
    save_pack(Outcomes.from_labels(queries, pool), folder)


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    save_labels(tmp_path / "packs" / "one", 0)
    save_labels(tmp_path / "packs" / "two", 1, suffix=" desk")
    return tmp_path / "packs"


def run(packs: Path, out: Path, *parts: str, console: Console | None = None, **given: Any) -> dict[str, Any]:
    return run_suite(
        "intents",
        data=[str(packs)],
        routers=given.pop("routers", ("knn", "random")),
        seeds=2,
        out=out,
        command="agentnet bench run intents --data packs",
        console=console,
        encoder="hash:256",
        recording={"parts": list(parts)} if parts else None,
        **given,
    )


def test_all_parts_are_measured_kept_and_drawn(packs: Path, tmp_path: Path) -> None:
    out, text = tmp_path / "out", io.StringIO()
    run(packs, out, console=Console(file=text, width=100))
    results = json.loads((out / "results.json").read_text())
    assert set(results["parts"]) == {"full", "unseen", "ambiguity", "shots", "others"}
    assert results["packs"][0]["out of scope"] == {"train": 5, "val": 5, "test": 0}
    for part in ("full", "unseen", "ambiguity", "shots"):
        assert [block["name"] for block in results["parts"][part]] == ["one", "two"]
        assert all("(replayed)" in made["title"] for made in results["parts"][part][0]["tables"][:2])

    rows = {row["router"]: row for row in results["parts"]["full"][0]["tables"][0]["figures"]}
    assert rows["knn"]["hit"]["mean"] > 0.9 > 0.5 > rows["random"]["hit"]["mean"]
    assert rows["random"]["seeds"] == 2 and rows["knn"]["seeds"] == 1
    outside = {row["router"]: row for row in results["parts"]["full"][0]["tables"][1]["figures"]}
    assert outside["knn"]["recall"]["mean"] == 1 and outside["knn"]["out of scope"] == 5
    assert outside["random"]["recall"]["mean"] == 0  # all rows have one score: none is turned away

    unseen = [row for row in results["parts"]["unseen"][0]["tables"][0]["figures"] if row["router"] == "knn"]
    assert [row["examples"] for row in unseen] == [0, 5, 10] and unseen[0]["draws"] == 2
    assert unseen[2]["new agents' hit"]["mean"] > 0.8
    shots = {row["router"]: row for row in results["parts"]["shots"][0]["tables"][0]["figures"]}
    assert shots["knn"]["0 examples"]["mean"] > 0.8  # fitted on the other pack, known by description
    assert shots["logistic regression"]["10 examples"]["mean"] > 0.9
    assert shots["knn"]["all"]["mean"] == rows["knn"]["hit"]["mean"]
    joined = results["parts"]["ambiguity"][0]["tables"][0]["figures"]
    sets = {row["sets"]: row for row in joined if row["router"] == "knn"}
    assert sets[OWN]["exact, two"]["mean"] == 0 == sets["top 2"]["exact, one"]["mean"]
    assert sets["top 2"]["recall, two"]["mean"] > 0.5

    page = (out / "report.html").read_text()
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("https://arxiv", "")
    assert page.count("<svg") >= 8 and "semantic-router 1.1.1" in page
    assert "Few examples: two" in text.getvalue()
    assert "| router | hit |" in markdown_tables(results, "full")


def test_sets_of_tcar_hold_both_agents_and_its_own_threshold_turns_away(packs: Path, tmp_path: Path) -> None:
    results = run(packs / "one", tmp_path / "out", "full", "ambiguity", routers=("tcar",))
    (full,), (joined,) = results["parts"]["full"], results["parts"]["ambiguity"]
    outside = {row["router"]: row for row in full["tables"][1]["figures"]}
    assert outside[OURS]["score"] == "its own" and outside[OURS]["recall"]["mean"] == 1
    sets = {row["sets"]: row for row in joined["tables"][0]["figures"] if row["router"] == OURS}
    assert sets[OWN]["exact, two"]["mean"] > 0.7 and sets[OWN]["exact, one"]["mean"] > 0.8
    assert sets[TOLD]["exact, all"]["mean"] >= sets["threshold of val"]["exact, all"]["mean"]
    against = {row["sets"]: row for row in joined["tables"][1]["figures"] if row["against"] == OURS}
    assert against["top 1"]["verdict"] == "above" == against["top 2"]["verdict"]


def test_a_second_call_makes_nothing_anew_and_keeps_the_parts_of_the_first(
    packs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = run(packs / "one", out, "full")
    figures = {path: path.stat().st_mtime_ns for path in (out / "figures").iterdir()}
    again = run(packs / "one", out, "full", "ambiguity")
    assert {path: path.stat().st_mtime_ns for path in figures} == figures
    assert again["parts"]["full"] == first["parts"]["full"] and "ambiguity" in again["parts"]
    assert set(run(packs / "one", out, "shots")["parts"]) == {"full", "ambiguity", "shots", "others"}


def test_bad_input_is_said_before_any_work(packs: Path, tmp_path: Path, table_pack: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InvalidInput, match="no part 'x'"):
        run(packs, out, "x")
    with pytest.raises(InvalidInput, match=r"part 'live' needs the folder .*--traces"):
        run(packs, out, "live")
    with pytest.raises(UnknownRouter, match="nonsense"):
        run(packs, out, "full", routers=("nonsense",))
    with pytest.raises(DataError, match="outcomes, not labels"):
        run(table_pack, out, "full")
    with pytest.raises(InvalidInput, match="nothing to run"):
        run_suite("intents", data=[], routers=None, seeds=1, out=out, command="")
    assert not out.exists()


@pytest.fixture
def table_pack(tmp_path: Path, table: Outcomes) -> Path:
    folder = tmp_path / "recorded"
    save_pack(table, folder)
    return folder


def test_the_live_part_has_a_table_for_each_way_of_choosing_agents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def run_live(folder: Path, **given: Any) -> dict[str, Any]:
        asked.append(given["sets"])
        share = 1.0 if given["sets"] is None else 0.75
        return {"queries": given["n"], "exact_sets": share, "arms": {}, "differences": {}}

    monkeypatch.setattr(intents_live, "run_live", run_live)
    monkeypatch.setattr(intents_live, "routed_sets", lambda items: {"q": ["reverse"]})
    given = {"parts": ["live"], "traces": str(tmp_path)}
    results = run_suite(
        "intents", data=[], routers=None, seeds=1, out=tmp_path / "out", command="", recording=given
    )
    made = results["parts"]["live"][0]["tables"]
    assert asked == [None, {"q": ["reverse"]}]
    assert all("(live)" in table["title"] for table in made)
    assert "right ones in 100%" in made[0]["note"] and "right ones in 75%" in made[1]["note"]
    assert "Live: embedded model" in (tmp_path / "out" / "report.html").read_text()


def test_the_best_baseline_is_chosen_on_val_among_others() -> None:
    found = {
        OURS: [{"val_hit": 0.99}],
        "a": [{"val_hit": 0.8, "hit": [0]}],
        "b": [{"val_hit": 0.9, "hit": [1]}],
    }
    assert best_baseline(found) == "b"
    assert best_baseline({OURS: [{"val_hit": 0.9}]}) is None


def test_what_old_agents_lose_is_in_points_at_the_same_threshold() -> None:
    record: dict[str, Any] = {"before": [1, 1, 1, 0], "before_kept": [1, 1, 0, 0]}
    for count in (0, 5, 10):
        record |= {f"new_{count}": [1, 0], f"new_kept_{count}": [0, 0], f"old_{count}": [1, 1, 0, 0],
                   f"old_kept_{count}": [1, 0, 1, 0], f"size_{count}": [1] * 6}  # fmt: skip
    row = unseen_report("p", {"knn": [record]})["tables"][0]["figures"][0]
    assert row["others lost (points)"]["mean"] == 25 and row["lost at the threshold"]["mean"] == 0
    assert row["new agents' hit"]["mean"] == 0.5 and row["at the threshold"]["mean"] == 0


def test_own_sets_are_compared_pairwise_with_every_other_choice() -> None:
    def way(exact: list[int]) -> dict[str, list[int]]:
        return {"exact": exact, "reward": exact, "recall": exact, "size": [1] * len(exact)}

    joined = [False] * 20 + [True] * 20
    ours = {"joined": joined, "ways": {OWN: way([1] * 40), "top 1": way([1] * 20 + [0] * 20)}}
    other = {"joined": joined, "ways": {"top 2": way([0] * 20 + [1] * 20)}}
    against = ambiguity_report("p", {OURS: [ours], "knn": [other]})["tables"][1]["figures"]
    assert [(row["against"], row["sets"], row["verdict"]) for row in against] == [
        (OURS, "top 1", "above"), ("knn", "top 2", "above")
    ]  # fmt: skip
    assert against[0]["exact set"]["mean"] == 0.5
