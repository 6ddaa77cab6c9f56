"""`traces`, `convert`, `bench`, `routers`, `doctor` and what belongs to none of them."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import agentnet
from agentnet.outcomes.packs import load_outcomes
from agentnet.outcomes.table import Outcomes
from agentnet.routers.registry import RESERVED, router_names
from agentnet.traces.records import DecisionRecord, OutcomeRecord, PoolChangeRecord, RunRecord, StepRecord
from agentnet.traces.store import TraceStore

IDS = [f"{start}{'0' * 24}" for start in ("aaaa1111", "aaaa2222", "bbbb3333")]


@pytest.fixture
def db(tmp_path: Path) -> str:
    """A database with three runs."""
    url = f"sqlite:///{tmp_path}/runs.db"
    with TraceStore.open(url) as store:
        for i, run_id in enumerate(IDS):
            store.write(
                RunRecord(
                    run_id=run_id,
                    started_at=1e9 + i,
                    status="ok" if i else "error",
                    task_text=f"What is {i} [bold]plus[/bold] 1?",
                    answer=str(i + 1) if i else None,
                    cost_usd=Decimal("0.00012") if i else None,
                    error=None if i else "it broke",
                ),
                DecisionRecord(
                    run_id=run_id, router="knn" if i else "random", evidence={"why": ["near"]}, propensity=1.0
                ),
                StepRecord(run_id=run_id, seq=0, node="n", agent="solver", answer=str(i + 1), calls=1),
                OutcomeRecord(run_id=run_id, score=1.0, judge="human", judged_at=1e9),
            )
    return url


def test_ls_shows_the_newest_first_and_filters(cli: Any, db: str) -> None:
    lines = cli("traces", "ls", "--db", db).out.splitlines()
    shown = [line.split()[0] for line in lines if "2001-" in line]
    assert shown == [run_id[:8] for run_id in reversed(IDS)]
    assert any("[bold]" in line for line in lines) and max(map(len, lines)) <= 80
    assert cli("traces", "ls", "--db", db, "-n", "1").out.count("2001-") == 1
    assert cli("traces", "ls", "--db", db, "--router", "random").out.count("2001-") == 1
    assert cli("traces", "ls", "--db", db, "--status", "ok").out.count("2001-") == 2


def test_pool_lists_who_came_and_went(cli: Any, db: str) -> None:
    with TraceStore.open(db) as store:
        for revision, names in enumerate((("cards",), tuple(f"agent{i}" for i in range(11))), 1):
            store.write(
                PoolChangeRecord(
                    change_id=f"{'c' * 32}:{revision}", pool_id="c" * 32, revision=revision, size=1200,
                    changed_at=1e9 + revision, pool_version="v", added=names, removed=("[bold]old",),
                )
            )  # fmt: skip
    lines = cli("traces", "pool", "--db", db).out.splitlines()
    shown = [line for line in lines if "2001-" in line]
    assert [line.split()[:5] for line in shown] == [
        ["2001-09-09", "01:46:42", "cccccccc", "2", "1,200"],
        ["2001-09-09", "01:46:41", "cccccccc", "1", "1,200"],
    ]
    text = " ".join(" ".join(lines).split())
    assert "+agent7 -[bold]old and 3 more" in text and "+cards -[bold]old" in text
    assert max(map(len, lines)) <= 80
    found = json.loads(cli("traces", "pool", "--db", db, "--agent", "cards", "--json").out)
    assert [change["revision"] for change in found] == [1]


def test_show_takes_the_beginning_of_an_id(cli: Any, db: str) -> None:
    done = cli("traces", "show", "bbbb", "--db", db)
    assert "What is 2 [bold]plus[/bold] 1?" in done.out and "0.00012 USD" in done.out
    assert "knn" in done.out and 'why: ["near"]' in done.out and "scored 1 by human" in done.out
    data = json.loads(cli("traces", "show", IDS[0], "--db", db, "--json").out)
    assert data["run"]["error"] == "it broke" and data["run"]["cost_usd"] is None
    assert data["steps"][0]["agent"] == "solver"
    done = cli("traces", "show", "aaaa", "--db", db)
    assert done.status == 1 and "several runs begin with 'aaaa'" in done.error
    for wrong in ("ffff", "%", "", b"\xff".decode("utf-8", "surrogateescape")):
        done = cli("traces", "show", wrong, "--db", db)
        assert done.status in (1, 2) and done.error.startswith("error:")


def test_stats_keep_unknown_money_apart(cli: Any, db: str) -> None:
    out = cli("traces", "stats", "--db", db).out
    assert "runs: 3 (" in out and "2 ok" in out and "judgements: 3" in out
    assert "0.00024" in out and "solver" in out and "knn" in out
    data = json.loads(cli("traces", "stats", "--db", db, "--json").out)
    assert data["runs"]["cost_usd"] == "0.00024" and data["runs"]["cost_unknown"] == 1


def test_export_and_import_are_each_others_inverse(cli: Any, pack: Path, table: Outcomes) -> None:
    assert cli("traces", "import", pack, "--db", "sqlite:///a.db").status == 0
    done = cli("traces", "export", "again", "--db", "sqlite:///a.db")
    assert done.status == 0 and "120 queries x 2 agents" in done.out
    again = load_outcomes("again")
    assert again.fingerprint == table.fingerprint


def test_a_missing_database_is_not_made(cli: Any) -> None:
    for command in (("ls",), ("stats",), ("show", "a"), ("export", "out")):
        done = cli("traces", *command, "--db", "sqlite:///none.db")
        assert done.status == 1 and "no trace database" in done.error
    assert not Path("none.db").exists()
    assert "SQLite or PostgreSQL" in cli("traces", "ls", "--db", "mysql://host/db").error


def test_convert_makes_a_pack(cli: Any) -> None:
    Path("clinc.json").write_text(
        json.dumps({name: [["book a flight", "travel"]] for name in ("train", "val", "test")})
    )
    done = cli("convert", "clinc", "clinc.json", "pack")
    assert done.status == 0, done.err
    assert load_outcomes("pack").kind == "label"
    done = cli("convert", "nonsense", "clinc.json", "pack")
    assert done.status == 2 and "routerbench" in done.error


def test_bench_runs_a_suite(cli: Any, pack: Path) -> None:
    done = cli(
        "bench", "run", "routing", "--data", pack, "--routers", "random, best_single", "--seeds", "1",
        "--out", "o", "--encoder", "hash:64",
    )  # fmt: skip
    assert done.status == 0, done.err
    results = json.loads(Path("o/results.json").read_text())
    assert results["command"].startswith("agentnet bench run routing --data")
    assert [row["router"] for row in results["packs"][0]["parts"][0]["routers"]] == ["random", "best_single"]
    assert "best_single" in done.out and "best_single" in done.err  # the table; the progress
    done = cli("bench", "run", "nonsense", "--data", pack)
    assert done.status == 2 and "no suite" in done.error


def test_routers_lists_all_there_are(cli: Any) -> None:
    out = cli("routers").out
    assert all(name in out for name in router_names()) and not any(f" {name} " in out for name in RESERVED)
    assert max(map(len, out.splitlines())) <= 80
    listed = {item["name"]: item for item in json.loads(cli("routers", "--json").out)}
    assert any(text.startswith("temperature (float") for text in listed["knn"]["settings"])
    assert all(item["summary"] for item in listed.values())


def test_doctor_is_read_by_people_and_programs(cli: Any) -> None:
    assert "sandbox" in cli("doctor").out
    found = json.loads(cli("doctor", "--json").out)
    assert {"what", "ok", "detail"} == set(found[0])


def test_help_and_version(cli: Any) -> None:
    assert cli("--version").out.strip() == f"agentnet {agentnet.__version__}"
    for command in ("run", "train", "evaluate", "route", "demo", "traces", "bench"):
        assert command in cli("--help").out
        assert cli(command, "--help").status == 0


def test_the_installed_program_ends_quietly_when_its_reader_has_gone(db: str, tmp_path: Path) -> None:
    code = f"{sys.executable} -m agentnet.cli.main traces ls --db {db} | true"
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "Traceback" not in done.stderr
