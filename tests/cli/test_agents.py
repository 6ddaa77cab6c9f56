"""`agentnet agents`: list, add, remove, import, describe, lint."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main

from agentnet.cli.main import app
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.packs import save_pack
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.runtime.spec import load_spec
from agentnet.testing import Behaviour, Fleet

YAML = """\
# kept
backends:
  small: {model: openai/small}
agents:
  - name: cards   # first
    description: Blocks lost and stolen cards.
    examples: [I lost my card, Somebody stole my card]
  - name: loans
    description: Blocks cards and gives loans.
    examples: [I want a loan, I lost my loan card]
"""
TOOLS = [{"name": "rain", "description": "Forecast of rain"}, {"name": "snow", "description": "Snow in town"}]


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    (tmp_path / "pool.yaml").write_text(YAML)
    return tmp_path / "pool.yaml"


def test_add_and_rm_keep_the_rest(cli: Any, pool: Path) -> None:
    done = cli(
        *("agents", "add", "fees", "--pool", pool, "--description", "What cards cost"),
        *("--example", "A fee?", "--example", "Too dear", "--backend", "small", "--system", "Be brief."),
    )
    assert done.status == 0 and "added fees" in done.err and "3 agents" in done.err
    assert pool.read_text().startswith(YAML)
    added = load_spec(pool).pool["fees"]
    assert added.examples == ("A fee?", "Too dear") and added.system == "Be brief."
    assert added.backend is not None and added.backend.model == "openai/small"
    assert cli("agents", "rm", "fees", "--pool", pool).status == 0
    assert pool.read_text() == YAML
    done = cli("agents", "rm", "cards", "loans", "--pool", pool)
    assert done.status == 2 and "at least one agent" in done.error and pool.read_text() == YAML


def test_a_pool_can_be_begun(cli: Any, tmp_path: Path) -> None:
    done = cli("agents", "add", "a", "--pool", "new.yaml", "--description", "x")
    assert done.status == 0 and "(a new file)" in done.err and "--backend" in done.err
    assert load_spec(tmp_path / "new.yaml").pool.names == ("a",)


def test_a_python_pool_is_read_only(cli: Any, tmp_path: Path) -> None:
    code = "from agentnet import Agent, Pool\npool = Pool([Agent(name='a', call=str.upper)])\n"
    (tmp_path / "pool.py").write_text(code)
    for words in (("add", "b", "--description", "x"), ("rm", "a")):
        done = cli("agents", *words, "--pool", "pool.py")
        assert done.status == 2 and "read only" in done.error and ".yaml" in done.error
    done = cli("agents", "ls", "--pool", "pool.py")
    assert done.status == 0 and "a call" in done.out
    assert (tmp_path / "pool.py").read_text() == code


def test_wrong_input_is_one_line_and_status_2(cli: Any, pool: Path) -> None:
    for words, said in [
        (("add", "cards", "--description", "x", "--pool", pool), "already"),
        (("add", "x", "--description", "x", "--backend", "large", "--pool", pool), "large"),
        (("add", "x", "--description", "key sk-abcdefghijklmnop1234", "--pool", pool), "looks like a key"),
        (("rm", "ghost", "--pool", pool), "no agent 'ghost'"),
        (("ls", "--pool", "none.yaml"), "no file"),
        (("import", "mcp", "none.json", "--pool", pool), "cannot be read"),
        (("import", "mcp", pool, "--pool", pool), "not valid JSON"),
        (("import", "a2a", "x.json", "--per", "tool", "--pool", pool), "per card or per skill"),
        (("import", "a2a", "x.json", "--server", "s", "--pool", pool), "leave it out"),
        (("describe", "ghost", "--pool", pool), "no agent 'ghost'"),
        (("lint", "--pool", pool, "--encoder", "nonsense"), "no encoder"),
    ]:
        done = cli("agents", *words)
        assert done.status == 2 and said in done.error, words
        assert "abcdefghijklmnop" not in done.err
    assert pool.read_text() == YAML


def test_ls(cli: Any, pool: Path) -> None:
    done = cli("agents", "ls", "--pool", pool)
    assert done.status == 0 and "cards" in done.out and "direct" in done.out
    listed = json.loads(cli("agents", "ls", "--pool", pool, "--json").out)
    assert [item["name"] for item in listed] == ["cards", "loans"]
    pool.write_text('agents: [{name: "x[red]", description: "[bold]\\e[2J[/bold]"}]\n')
    done = cli("agents", "ls", "--pool", pool)
    assert "x[red]" in done.out and "[bold]" in done.out and "\x1b[2J" not in done.out


def test_import_mcp(cli: Any, pool: Path, tmp_path: Path) -> None:
    (tmp_path / "sky.json").write_text(json.dumps({"tools": TOOLS}))
    done = cli("agents", "import", "mcp", "sky.json", "--pool", pool, "--server", "sky")
    assert done.status == 0 and "sky.rain, sky.snow" in done.err and "strategies=" in done.err
    assert pool.read_text().startswith(YAML)
    again = cli("agents", "import", "mcp", "sky.json", "--pool", pool, "--server", "sky")
    assert again.status == 2 and "--replace" in again.error
    (tmp_path / "sky.json").write_text(json.dumps([*TOOLS, {"name": "fog"}]))
    args = ("--pool", pool, "--server", "sky", "--replace", "--backend", "small")
    assert cli("agents", "import", "mcp", "sky.json", *args).status == 0
    agents = load_spec(pool).pool
    assert agents.names == ("cards", "loans", "sky.rain", "sky.snow", "sky.fog")
    assert agents["sky.rain"].strategy == "direct" and agents["sky.fog"].backend is not None
    assert cli("agents", "import", "mcp", "sky.json", "--pool", pool, "--per", "server").status == 0
    assert "sky" in load_spec(pool).pool


def test_import_a2a(cli: Any, pool: Path, tmp_path: Path) -> None:
    card = {"name": "Desk", "url": "https://x.example", "skills": [{"id": "a"}, {"id": "b"}]}
    (tmp_path / "card.json").write_text(json.dumps(card))
    assert cli("agents", "import", "a2a", "card.json", "--pool", pool, "--per", "skill").status == 0
    agents = load_spec(pool).pool
    assert agents.names[2:] == ("Desk a", "Desk b")
    assert agents["Desk b"].options["url"] == "https://x.example" and agents["Desk b"].strategy == "a2a"


def test_describe_locally(cli: Any, pool: Path) -> None:
    done = cli("agents", "describe", "cards", "--pool", pool)
    assert done.status == 0 and "stole" in done.out and pool.read_text() == YAML
    assert cli("agents", "describe", "cards", "--pool", pool, "--write").status == 0
    assert load_spec(pool).pool["cards"].description == done.out.strip()
    assert "# first" in pool.read_text()
    pool.write_text("agents: [{name: bare}]\n")
    done = cli("agents", "describe", "bare", "--pool", pool)
    assert done.status == 2 and "no examples" in done.error


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """A label pack for the pool."""
    rows = [
        ("lost card", "cards"),
        ("stolen card", "cards"),
        ("block cards", "cards"),
        ("a loan", "loans"),
    ] * 4
    queries = Queries(
        query_id=np.array([f"q{i}" for i in range(len(rows))]),
        text=tuple(f"{text} {i}" for i, (text, _) in enumerate(rows)),
        split=np.array(["train"] * 8 + ["val"] * 4 + ["test"] * 4),
        gold=tuple(gold for _, gold in rows),
        metric=("label",) * len(rows),
    )
    agents = Pool([Agent(name="cards"), Agent(name="loans")])
    save_pack(Outcomes.from_labels(queries, agents), tmp_path / "labels")
    return tmp_path / "labels"


def test_describe_takes_queries_of_a_pack(cli: Any, tmp_path: Path, labels: Path) -> None:
    (tmp_path / "bare.yaml").write_text("agents: [{name: cards}, {name: loans}]\n")
    done = cli("agents", "describe", "loans", "--pool", "bare.yaml", "--data", labels)
    assert done.status == 0 and "loan" in done.out and "card" not in done.out


def test_lint(cli: Any, pool: Path, labels: Path) -> None:
    words = ("agents", "lint", "--pool", pool, "--encoder", "hash", "--data", labels)
    done = cli(*words)
    assert done.status == 0 and "cards <> loans" in done.out and "suggested for loans" in done.out
    assert "16 queries" in done.out, "4 examples and 12 rows of train and val"
    assert cli(*words, "--strict").status == 1
    report = json.loads(cli(*words, "--json", "--split", "val").out)
    assert report["queries"] == 8 and report["agents"] == 2
    assert cli(*words, "--strict", "--min-share", "1").status == 0
    assert pool.read_text() == YAML


def test_lint_applies_wordings_in_place(cli: Any, pool: Path, labels: Path) -> None:
    words = ("agents", "lint", "--pool", pool, "--encoder", "hash", "--data", labels)
    assert cli(*words, "--apply", "positive").status == 0
    described = {agent.name: agent.description for agent in load_spec(pool).pool}
    assert described["loans"].startswith("Blocks cards and gives loans. In particular: ")
    assert "not for" not in described["loans"] and "# kept" in pool.read_text()
    assert "# first" in pool.read_text()


def test_lint_by_a_trained_router(cli: Any, pool: Path, labels: Path, tmp_path: Path) -> None:
    done = cli("train", "knn", "--data", labels, "--out", "knn", "--set", "encoder=hash:128", "--set", "k=1")
    assert done.status == 0, done.err
    done = cli("agents", "lint", "--pool", pool, "--data", labels, "--router", "knn")
    assert done.status == 0 and "by the router knn" in done.out


@pytest.mark.parametrize("good", [True, False])
async def test_describe_and_lint_by_a_model(
    cli: Any, pool: Path, labels: Path, monkeypatch: pytest.MonkeyPatch, good: bool
) -> None:
    text = "<Description>Blocks lost bank cards quickly</Description>" if good else "I cannot."
    async with Fleet({"model": Behaviour(answer=text)}) as fleet:
        monkeypatch.setenv("OPENAI_API_BASE", fleet.urls["model"])
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        told = ("--pool", pool, "--model", "openai/test")
        done = await asyncio.to_thread(cli, "agents", "describe", "cards", *told)
        words = ("agents", "lint", "--encoder", "hash", "--data", labels, *told)
        linted = await asyncio.to_thread(cli, *words)
    assert done.status == 0 and linted.status == 0, done.err + linted.err
    assert ("no usable description" in done.err) != good
    assert ("Blocks lost bank cards quickly." in done.out) == good and ("Typical:" in done.out) != good
    assert ("suggested for loans: Blocks lost bank cards quickly." in linted.out) == good
    assert ("In particular" in linted.out) != good


def test_every_command_s_help_has_an_example() -> None:
    command: Any = typer.main.get_command(app)
    for name, item in command.commands["agents"].commands.items():
        assert f"Example: agentnet agents {name}" in (item.help or ""), name
