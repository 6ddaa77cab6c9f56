from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from agentnet.bench.protocol import Lab
from agentnet.bench.suites import run_suite
from agentnet.bench.suites.partial import run
from agentnet.bench.suites.partial_figures import kept, make_part
from agentnet.bench.suites.partial_measure import OLDER_ROWS, Bench, worlds
from agentnet.bench.suites.partial_report import markdown_tables
from agentnet.errors import DataError
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.encoders import CachedEncoder, HashingEncoder
from agentnet.outcomes.packs import save_pack
from agentnet.outcomes.table import Outcomes, Queries

WORDS = {"maths": ["equation", "root", "factor", "prime"], "cooking": ["oven", "flour", "butter", "onion"]}
CHANCE = {"maths": [0.6, 0.9, 0.1], "cooking": [0.8, 0.2, 0.1]}


def planted(n: int = 1250, seed: int = 0) -> Outcomes:
    """`all-round` is the best single agent; `mathematician` is better on half of the queries."""
    rng = np.random.default_rng(seed)
    topics = [list(WORDS)[i % 2] for i in range(n)]
    queries = Queries(
        query_id=np.array([f"q{i:04}" for i in range(n)]),
        text=tuple(f"{' '.join(rng.choice(WORDS[topic], 4))} {i}" for i, topic in enumerate(topics)),
        split=np.array([("train", "train", "train", "val", "test")[i // 2 % 5] for i in range(n)]),
        task=tuple(topics),
    )
    score = np.array([rng.random(3) < CHANCE[topic] for topic in topics], np.float32)
    pool = Pool(Agent(name=name) for name in ("all-round", "mathematician", "useless"))
    return Outcomes(queries=queries, pool=pool, score=score, cost=np.full((n, 3), 1e-4))


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("partial") / "pack"
    save_pack(planted(), folder)
    return folder


@pytest.fixture(scope="module")
def results(pack: Path) -> dict:
    text = io.StringIO()
    found = run(
        data=[str(pack)], routers=["mixed_effects"], seeds=1, out=pack.parent / "out", command="the command",
        console=Console(file=text, width=120), encoder="hash:64", draws=2, logs=800,
    )  # fmt: skip
    return found | {"printed": text.getvalue(), "out": pack.parent / "out"}


def test_the_gain_of_specialists_is_learned_from_a_log(results: dict) -> None:
    for part in results["packs"][0]["parts"]:
        cell = next(
            c for c in part["cells"]
            if (c["logging"], c["epsilon"], c["feedback"]) == ("knn", 0.5, "weighted")
        )  # fmt: skip
        assert cell["full_gain"] > 0.05
        assert cell["kept"] > 0.5


def test_results_and_page_hold_every_draw(results: dict) -> None:
    stored = json.loads((results["out"] / "results.json").read_text("utf-8"))
    assert stored["headline"] == "cross-fitted" and stored["kind"] == "replayed"
    parts = stored["packs"][0]["parts"]
    assert [part["split"] for part in parts] == ["cross-fitted", "test"]
    assert {row["draw"] for row in parts[0]["rows"]} == {0, 1}
    page = (results["out"] / "report.html").read_text("utf-8")
    assert "the command" in page and "goal of 70%" in page and "<svg" in page
    assert "goal of 70%" in results["printed"]
    assert "mixed_effects" in markdown_tables(parts[0])


def test_what_is_learned_from_is_never_judged_on() -> None:
    data = planted()
    for part in ("cross-fitted", "test"):
        for world in worlds(data, part, 2):
            older, logged, test = (
                set(w.queries.query_id.tolist()) for w in (world.older, world.logged, world.test)
            )
            assert not older & logged and not (older | logged) & test
            assert len(older) == OLDER_ROWS


def test_draws_are_the_same_each_time() -> None:
    plain = HashingEncoder(64)
    bench = Bench(Lab(CachedEncoder(plain), plain), {"best_single": ("observed",)}, logs=200)
    world = next(iter(worlds(planted(), "test", 1)))
    assert list(bench.draw(world, 0)) == list(bench.draw(world, 0))


def test_the_share_kept_is_a_ratio_of_sums() -> None:
    share, low, high = kept(np.array([0.0, 0.02]), np.array([0.01, 0.03]))
    assert share == pytest.approx(0.5) and low <= share <= high
    assert np.isnan(kept(np.array([0.1]), np.array([0.0]))[0])


def test_missed_targets_are_called_missed() -> None:
    base = {"best_single": 0.5, "full": 0.6, "logging_score": 0.5, "learner": "mixed_effects"}
    rows = [
        base | {"draw": d, "logging": logging, "epsilon": e, "feedback": f, "score": s + d / 1000}
        for d in range(3)
        for logging in ("knn", "best_single")
        for e in (0.2, 0.5)
        for f, s in (("observed", 0.53), ("weighted", 0.52))
    ]
    found = {row["target"]: row["met"] for row in make_part("test", 3, rows)["targets"]}
    assert found["both logs, epsilon 0.5: at least 50% of the gain kept"] is False
    assert found["both logs, epsilon 0.2: not below best single"] is True
    assert found["both logs, epsilon 0.2: above itself ignoring propensities"] is False


def test_a_pack_with_holes_or_few_rows_is_refused(tmp_path: Path) -> None:
    save_pack(planted(200), tmp_path / "small")
    with pytest.raises(DataError, match="needs all outcomes"):
        run_suite(
            "partial", data=[str(tmp_path / "small")], routers=None, seeds=1, out=tmp_path / "out",
            command="x", encoder="hash:64",
        )  # fmt: skip
