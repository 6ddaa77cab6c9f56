"""`train`, `evaluate` and `route`."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from agentnet.graphs.pool import Pool
from agentnet.outcomes.packs import save_pack
from agentnet.outcomes.table import Outcomes
from agentnet.routers.registry import load_router


def result(file: str | Path) -> Any:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    return json.loads(Path(file).read_text(), parse_constant=refuse)


def test_train_says_what_it_learned_from_and_chose(cli: Any, pack: Path) -> None:
    done = cli("train", "knn", "--data", pack, "--out", "r", "--set", "encoder=hash:128", "--set", "k=5")
    assert done.status == 0
    assert "60 train and 30 val queries" in done.out and "k = 5" in done.out
    assert load_router("r").settings["k"] == 5


def test_evaluate_writes_what_it_shows(cli: Any, pack: Path, knn: Path) -> None:
    done = cli("evaluate", knn, "--data", pack, "--json", "out/knn.json", "--cost-weight", "0.1")
    data = result("out/knn.json")
    assert done.status == 0
    assert data["command"] == f"agentnet evaluate {knn} --data {pack} --json out/knn.json --cost-weight 0.1"
    assert data["router_version"] == load_router(knn).version
    assert data["cost_weight"] == 0.1 and data["split"] == "test" and data["n"] == 30
    assert f"{data['score']:.4f}" in done.out and data["best_single"]["agent"] in done.out
    assert data["score"] > data["best_single"]["score"]
    assert max(map(len, done.out.splitlines())) <= 80


def test_evaluate_is_reproducible_but_for_latency(cli: Any, pack: Path, knn: Path) -> None:
    for name in ("a", "b"):
        assert cli("evaluate", knn, "--data", pack, "--split", "all", "--json", f"{name}.json").status == 0
    drop = ("latency_ms", "latency_encoded_ms", "command")
    first, second = ({k: v for k, v in result(f"{n}.json").items() if k not in drop} for n in "ab")
    assert first == second and first["n"] == 120


def test_the_dial_at_cost_only_takes_the_cheapest(cli: Any, pack: Path, knn: Path) -> None:
    assert cli("evaluate", knn, "--data", pack, "--cost-weight", "1", "--json", "a.json").status == 0
    assert result("a.json")["selection"] == {"chef": 1.0}


def test_agents_file_is_the_pool_and_must_have_outcomes(cli: Any, pack: Path, knn: Path) -> None:
    agents = json.loads((pack / "agents.json").read_text())
    Path("one.json").write_text(json.dumps([agents[1]]))
    assert cli("evaluate", knn, "--data", pack, "--agents", "one.json", "--json", "a.json").status == 0
    assert result("a.json")["selection"] == {"solver": 1.0}
    Path("more.json").write_text(json.dumps([*agents, {"name": "new", "examples": ["boil an egg"]}]))
    done = cli("evaluate", knn, "--data", pack, "--agents", "more.json")
    assert done.status == 2 and "no outcomes of new" in done.error


def test_a_router_that_never_saw_an_agent_learns_of_it_from_probes(
    cli: Any, table: Outcomes, tmp_path: Path, pack: Path
) -> None:
    save_pack(table.for_pool(Pool([table.pool["chef"]])), tmp_path / "before")
    probes = table.split("train", "val")
    useless = probes.score * np.array([1, 0], np.float32)
    save_pack(probes, tmp_path / "able")
    save_pack(replace(probes, score=useless), tmp_path / "useless")
    assert cli("train", "knn", "--data", "before", "--out", "r", "--set", "encoder=hash:128").status == 0
    share = {}
    for probe in ("able", "useless"):
        assert cli("evaluate", "r", "--data", pack, "--probes", probe, "--json", "a.json").status == 0
        share[probe] = result("a.json")["selection"].get("solver", 0.0)
    assert share["able"] > 0.3 and share["useless"] < 0.1
    done = cli("evaluate", "r", "--data", pack, "--probes", pack)
    assert done.status == 2 and "probe queries are in the evaluated split" in done.error


def test_a_router_that_draws_nothing_says_so(cli: Any, knn: Path, tmp_path: Path) -> None:
    done = cli("route", knn, "simmer the onion in butter", "--svg", tmp_path / "why.svg")
    assert done.status == 2
    assert "draws no evidence" in done.error and not (tmp_path / "why.svg").exists()


def test_route_explains(cli: Any, knn: Path) -> None:
    assert cli("route", knn, "solve the equation for its root").out.strip() == "solver"
    done = cli("route", knn, "simmer the onion in butter", "--explain")
    assert " -> chef" in done.out and "known tasks" in done.out
    data = json.loads(cli("route", knn, "simmer the onion", "--json").out)
    assert data["router"] == "knn" and set(data["scores"]) == {"chef", "solver"}
    assert cli("route", knn, "solve the equation", "--cost-weight", "1").out.strip() == "chef"


def test_training_from_a_trace_database_is_training_from_the_pack(cli: Any, pack: Path) -> None:
    db = "sqlite:///runs.db"
    assert "120 runs" in cli("traces", "import", pack, "--db", db).out
    settings = ("--set", "encoder=hash:128", "--set", "k=5")
    assert cli("train", "knn", "--data", db, "--out", "from-db", *settings).status == 0
    assert cli("train", "knn", "--data", pack, "--out", "from-pack", *settings).status == 0
    for name in ("from-db", "from-pack"):
        assert cli("evaluate", name, "--data", pack, "--json", f"{name}.json").status == 0
    assert result("from-db.json")["per_query"] == result("from-pack.json")["per_query"]


def test_encodings_are_kept_between_commands_where_a_folder_is_named(
    cli: Any, pack: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = ("--set", "encoder=hash:128")
    assert cli("train", "knn", "--data", pack, "--out", "a", *settings).status == 0
    cache = tmp_path / "cache"
    monkeypatch.setenv("AGENTNET_CACHE", str(cache))
    assert cli("train", "knn", "--data", pack, "--out", "b", *settings).status == 0
    (file,) = cache.iterdir()
    size = file.stat().st_size
    assert cli("evaluate", "b", "--data", pack, "--split", "val").status == 0
    assert file.stat().st_size == size  # all known, and what is timed is not kept
    assert load_router("a").version == load_router("b").version
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setenv("AGENTNET_CACHE", str(tmp_path / "taken"))
    done = cli("train", "knn", "--data", pack, "--out", "c", *settings)
    assert done.status == 0 and "AGENTNET_CACHE=off" in done.err


# -- bad input ------------------------------------------------------------------------------------
def test_unknown_routers_and_settings_are_told_what_there_is(cli: Any, pack: Path) -> None:
    done = cli("train", "knnn", "--data", pack, "--out", "r")
    assert done.status == 2 and "no router 'knnn'" in done.error and "kmeans" in done.error
    done = cli("train", "knn", "--data", pack, "--out", "r", "--set", "kk=3")
    assert done.status == 2 and "no setting 'kk'" in done.error and "temperature" in done.error
    done = cli("train", "knn", "--data", pack, "--out", "r", "--set", "k=many")
    assert done.status == 2 and "setting 'k'" in done.error
    done = cli("train", "knn", "--data", pack, "--out", "r", "--set", "k")
    assert done.status == 2 and "key=value" in done.error
    done = cli("train", "knn", "--data", pack, "--out", "r", "--set", "encoder=nonsense")
    assert done.status == 2 and "no encoder" in done.error
    assert not Path("r").exists()


def test_a_missing_or_wrong_pack_is_one_line(cli: Any, pack: Path, knn: Path, tmp_path: Path) -> None:
    for command in (("train", "knn", "--out", "r"), ("evaluate", knn)):
        done = cli(*command, "--data", "nowhere")
        assert done.status == 2 and "nowhere does not exist" in done.error
    broken = tmp_path / "broken"
    shutil.copytree(pack, broken)
    file = broken / "queries.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["text"]), file)
    done = cli("train", "knn", "--data", broken, "--out", "r")
    assert done.status == 2 and "text" in done.error
    file.write_bytes(b"no parquet")
    assert cli("train", "knn", "--data", broken, "--out", "r").status == 2
    done = cli("train", "knn", "--data", "sqlite:///nowhere.db", "--out", "r")
    assert done.status == 1 and "no trace database" in done.error
    assert not Path("nowhere.db").exists()


def test_a_nan_score_in_a_pack_is_refused_when_it_is_needed(cli: Any, pack: Path, knn: Path) -> None:
    file = pack / "outcomes.parquet"
    columns = pq.read_table(file)
    score = np.full(len(columns), np.nan)
    at = columns.column_names.index("score")
    pq.write_table(columns.set_column(at, "score", [score]), file)
    assert cli("evaluate", knn, "--data", pack).status == 2
    assert cli("train", "knn", "--data", pack, "--out", "r").status == 2


@pytest.mark.parametrize("damage", ["gone", "no config", "config", "arrays", "by hand"])
def test_a_corrupt_router_is_one_line(cli: Any, pack: Path, knn: Path, damage: str) -> None:
    config = knn / "config.json"
    if damage == "gone":
        shutil.rmtree(knn)
    elif damage == "no config":
        config.unlink()
    elif damage == "config":
        config.write_text("{")
    elif damage == "arrays":
        (knn / "arrays.safetensors").write_bytes(b"x" * 20)
    else:
        config.write_text(config.read_text().replace('"chef"', '"thief"'))
    for done in (cli("evaluate", knn, "--data", pack), cli("route", knn, "hello")):
        assert done.status == 2 and str(knn) in done.error


def test_wrong_options_end_with_status_2(cli: Any, pack: Path, knn: Path) -> None:
    assert "no split 'middle'" in cli("evaluate", knn, "--data", pack, "--split", "middle").error
    assert "fallback 'nobody'" in cli("evaluate", knn, "--data", pack, "--fallback", "nobody").error
    assert cli("evaluate", knn, "--data", pack, "--cost-weight", "2").status == 2
    assert cli("evaluate", knn, "--data", pack, "--agents", "none.json").status == 2
    Path("bad.json").write_text("[{]")
    assert "not valid JSON" in cli("route", knn, "hello", "--agents", "bad.json").error
    Path("empty.json").write_text("[]")
    assert cli("route", knn, "hello", "--agents", "empty.json").status == 2
    assert cli("evaluate").status == 2
    assert cli("nonsense").status == 2


def test_a_place_that_cannot_be_written_is_one_line(cli: Any, pack: Path, knn: Path) -> None:
    Path("file").write_text("taken")
    done = cli("evaluate", knn, "--data", pack, "--json", "file/result.json")
    assert done.status == 1 and "file" in done.error
    assert cli("train", "random", "--data", pack, "--out", "file").status == 1
    assert Path("file").read_text() == "taken"


def test_train_says_where_log_and_checkpoints_do_nothing(cli: Any, pack: Path) -> None:
    settings = ("--set", "encoder=hash:128", "--set", "k=5", "--log-dir", "log", "--resume", "kept")
    done = cli("train", "knn", "--data", pack, "--out", "r", *settings)
    assert done.status == 0 and "knn trains no network; nothing comes of --log-dir and --resume" in done.err
    assert not Path("log").exists() and not Path("kept").exists()
