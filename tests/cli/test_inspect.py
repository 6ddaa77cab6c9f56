"""`routers` and `routers show`."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from agentnet.routers.amro_s import AmroSRouter
from agentnet.routers.colony.pictures import strongest_paths
from agentnet.routers.registry import load_router


@pytest.fixture
def amro(cli: Any, pack: Path, tmp_path: Path) -> Path:
    """A trained colony's folder."""
    done = cli("train", "amro_s", "--data", pack, "--out", "amro", "--set", "encoder=hash:128")
    assert done.status == 0, done.err
    return tmp_path / "amro"


def test_the_list_of_routers_is_still_what_routers_prints(cli: Any) -> None:
    done = cli("routers", "--json")
    assert done.status == 0 and "knn" in [item["name"] for item in json.loads(done.out)]


def test_show_tells_settings_and_training_of_any_router(cli: Any, knn: Path) -> None:
    done = cli("routers", "show", knn)
    router = load_router(knn)
    assert done.status == 0 and router.training is not None
    assert f"knn {router.version}" in done.out and "k = 5" in done.out
    assert f"90 queries, 2 agents, data {router.training.data}" in done.out
    assert f"solver: mean score {router.training.mean_score['solver']:.4f}" in done.out


@pytest.mark.parametrize("option", ["--html", "--svg", "--csv"])
def test_a_router_without_pheromones_has_no_pictures(cli: Any, knn: Path, option: str) -> None:
    done = cli("routers", "show", knn, option, "picture")
    assert done.status == 2 and "only amro_s has pheromones" in done.error
    assert done.out == "" and not Path("picture").exists()


def test_no_router_there_is_bad_input(cli: Any) -> None:
    assert cli("routers", "show", "nowhere").status == 2


def test_show_prints_each_specialists_strongest_path(cli: Any, amro: Path) -> None:
    done = cli("routers", "show", amro)
    router = load_router(amro)
    assert done.status == 0 and isinstance(router, AmroSRouter)
    colony = router.colony
    assert f"recipe: agentnet, {colony.space.layers} layers of 2 agents" in done.out
    assert f"task types: {', '.join(colony.types)}" in done.out
    assert f"snapshot: {router.snapshot_number}," in done.out
    for kind, hops in strongest_paths(colony).items():
        assert f"{kind}: strongest path" in done.out
        assert f"  1. start -> {hops[0]['target']}: pheromone {hops[0]['pheromone']:.4g}" in done.out


def test_show_writes_page_image_and_table(cli: Any, amro: Path) -> None:
    done = cli("routers", "show", amro, "--html", "out/c.html", "--svg", "c.svg", "--csv", "c.csv")
    assert done.status == 0, done.err
    assert Path("out/c.html").read_text().startswith("<!doctype html>")
    assert Path("c.svg").read_text().startswith("<svg ")
    router = load_router(amro)
    assert isinstance(router, AmroSRouter)
    with Path("c.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == router.colony.space.edges * len(router.colony.types)


def test_help_has_examples(cli: Any) -> None:
    done = cli("routers", "show", "--help")
    assert done.status == 0 and "agentnet routers show routers/knn" in done.out
