from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from agentnet.bench.suites import offpolicy, run_suite
from agentnet.bench.suites.common import make_lab
from agentnet.bench.suites.offpolicy_figures import make_part
from agentnet.bench.suites.offpolicy_measure import Cases, covered, measure
from agentnet.bench.suites.offpolicy_world import PAIRS, STRATA, World, choose_pairs, make_world
from agentnet.errors import InvalidInput
from agentnet.outcomes.packs import load_outcomes, save_pack
from agentnet.outcomes.table import Outcomes


@pytest.fixture
def world(table: Outcomes) -> World:
    return make_world("tiny", table, make_lab("hash:128", None), seed=0)


def test_logs_are_drawn_from_the_half_that_nothing_was_fitted_on(table: Outcomes, world: World) -> None:
    assert len(world.outcomes) == 75
    again = make_world("tiny", table, make_lab("hash:128", None), seed=1)
    assert set(again.outcomes.queries.query_id) != set(world.outcomes.queries.query_id)
    for policies in (world.logging, world.targets):
        for chance in policies.values():
            assert chance.shape == (75, 3)
            assert chance.sum(1) == pytest.approx(np.ones(75))
    assert all((chance > 0).all() for chance in world.logging.values())


def test_pairs_come_from_all_strata_of_overlap_and_are_the_same_again(world: World) -> None:
    pairs = choose_pairs(world, seed=0)
    assert len(pairs) == len(set(pairs)) == PAIRS
    assert pairs == choose_pairs(world, seed=0)
    assert pairs != choose_pairs(world, seed=1)
    found = np.digitize([world.overlap(*pair) for pair in pairs], STRATA[1:-1])
    there = np.digitize([world.overlap(a, b) for a in world.logging for b in world.targets], STRATA[1:-1])
    for stratum in range(4):
        assert (found == stratum).sum() >= min(10, (there == stratum).sum())


def test_overlap_of_a_policy_with_itself_is_whole(world: World) -> None:
    same = World(
        name="",
        outcomes=world.outcomes,
        predicted=world.predicted,
        vectors=world.vectors,
        logging=world.logging,
        targets=world.logging,
    )
    assert same.overlap("uniform", "uniform") == pytest.approx(1)
    assert world.overlap("uniform", "best_single") == pytest.approx(1 / 3)


def cases(coverage: float, ess: float = 300.0) -> Cases:
    """A hundred cases of one pair, so many of whose intervals hold the truth 0.5."""
    low = np.where(np.arange(100) < 100 * coverage, 0.4, 0.55)
    found = np.stack([np.full(100, 0.5), low, np.full(100, 0.6)], axis=1)
    names = ("ips", "snips", "dm", "dr", "switch-dr", "recommended")
    return Cases(
        pair=np.zeros(100, np.intp),
        size=np.full(100, 500),
        truth=np.full(100, 0.5),
        ess=np.full(100, ess),
        answered=np.ones(100, bool),
        found={name: found + (0.01 if name in ("ips", "snips") else 0) for name in names},
        difference=np.full((100, 4), np.nan),
        told=np.zeros(100, bool),
    )


@pytest.mark.parametrize(("coverage", "met"), [(0.95, True), (0.9, False), (0.99, False)])
def test_coverage_is_held_to_both_sides(coverage: float, met: bool) -> None:
    part = make_part("given", cases(coverage), n=1)
    assert part["table"][-1]["coverage"] == pytest.approx(coverage)
    assert part["targets"][0]["met"] is met


def test_a_pair_with_good_overlap_may_not_be_missed_often() -> None:
    found = Cases.join([cases(0.97), cases(0.8)])
    part = make_part("given", found, n=1)
    assert part["worst_pair"]["pairs"] == 2
    assert part["worst_pair"]["coverage"] == pytest.approx(0.8)
    assert part["targets"][1]["met"] is False
    poor = make_part("given", cases(0.8, ess=100.0), n=1)
    assert poor["worst_pair"]["pairs"] == 0


def test_errors_are_measured_against_ips_and_the_direct_method() -> None:
    part = make_part("given", cases(0.95), n=1)
    met = {row["target"].split("'")[0]: row["met"] for row in part["targets"]}
    assert met["RMSE below ips"]
    assert met["RMSE not above dm"]
    rows = {row["estimator"]: row for row in part["table"]}
    assert rows["ips"]["rmse"] == pytest.approx(0.01)
    assert rows["ips"]["bias"] == pytest.approx(0.01)


def test_the_truth_is_not_lost_to_rounding() -> None:
    assert covered(np.array([[0.5, 0.5, 0.5]]), np.array([0.5 + 1e-12])).all()


def test_the_suite_writes_results_and_a_page(table: Outcomes, tmp_path: Path) -> None:
    save_pack(table, tmp_path / "packs" / "tiny")
    text = io.StringIO()
    results = offpolicy.run(
        data=[str(tmp_path / "packs")],
        routers=None,
        seeds=1,
        out=tmp_path / "out",
        command="agentnet bench run offpolicy",
        console=Console(file=text, width=140),
        encoder="hash:128",
        sizes=(150, 300),
        draws=2,
    )
    read = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [pack["name"] for pack in read["packs"]] == ["tiny", "all packs pooled"]
    part = results["packs"][0]["parts"][0]
    assert len(part["pairs"]) == 2 * PAIRS
    assert part["cases"] == 4 * PAIRS
    assert {"ips", "snips", "dm", "dm, recalibrated", "dr", "switch-dr", "recommended"} == {
        row["estimator"] for row in part["table"]
    }
    page = (tmp_path / "out" / "report.html").read_text()
    assert "middling single" in page
    assert "recommended" in text.getvalue()


def test_the_same_seed_gives_the_same_figures(world: World) -> None:
    pairs = choose_pairs(world, seed=0)[:3]
    one, two = (measure(world, pairs, seed=0, sizes=(200,), draws=2) for _ in range(2))
    assert (one["own"].found["recommended"] == two["own"].found["recommended"]).all()


def test_the_suite_has_its_own_policies(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="its own policies"):
        run_suite("offpolicy", data=["x"], routers=["knn"], seeds=1, out=tmp_path, command="")


@pytest.mark.pack
def test_on_recorded_outcomes_intervals_cover_and_errors_are_small(data_dir: Path) -> None:
    outcomes = load_outcomes(data_dir / "ulab9")
    world = make_world("ulab9", outcomes, make_lab("hash:256", None), seed=3)
    pairs = choose_pairs(world, seed=3)
    found = measure(world, pairs, seed=3, sizes=(1000,), draws=2)
    for name, each in found.items():
        part = make_part(name, each, n=1)
        rows = {row["estimator"]: row for row in part["table"]}
        assert part["answered"] > 0.7
        assert part["answered_good"] > 0.95
        assert 0.88 <= rows["recommended"]["coverage"] <= 1.0
        assert rows["recommended"]["rmse"] < rows["ips"]["rmse"]
        if name == "given":
            assert rows["recommended"]["rmse"] < rows["snips"]["rmse"]
