from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agentnet.errors import GraphError, PoolError
from agentnet.runtime.spec import load_spec

YAML = """
backends:
  - {name: local, model: ollama/tiny, price_in_per_mtok: "0.1", price_out_per_mtok: "0.2"}
agents:
  - {name: a, description: first, backend: local, shots: [[q, a]]}
  - {name: b, backend: {name: other, model: openai/x}}
  - {name: c}
"""


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_a_python_file_gives_its_pool_and_its_graph(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "flow.py",
        "from agentnet import Agent, Pool, TaskGraph\nimport helper_of_flow\n"
        "pool = Pool([Agent(name=helper_of_flow.NAME)])\nother = Pool([Agent(name='b')])\n"
        "graph = TaskGraph.of(['a'])\n",
    )
    write(tmp_path, "helper_of_flow.py", "NAME = 'a'\n")
    before = list(sys.path)
    spec = load_spec(file)
    assert spec.pool.names == ("a",) and spec.graph is not None and spec.graph.agents == ("a",)
    assert load_spec(f"{file}:other").pool.names == ("b",)
    assert sys.path == before
    with pytest.raises(PoolError, match=r"no Pool called 'third'; it has other, pool"):
        load_spec(f"{file}:third")


def test_a_module_gives_its_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "spec_module_1.py", "from agentnet import Agent, Pool\nmine = Pool([Agent(name='a')])\n")
    assert load_spec("spec_module_1:mine").pool.names == ("a",)
    with pytest.raises(PoolError, match="no module 'no_such_module_1'"):
        load_spec("no_such_module_1:pool")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\n1 / 0\n", r"failed in line 2: ZeroDivisionError"),
        ("def broken(:\n", r"failed in line 1: SyntaxError"),
        ("import no_such_package_1\n", r"failed in line 1: ModuleNotFoundError"),
        ("pool = 3\n", r"no Pool called 'pool'\."),
        ("from agentnet import Pool\npool = Pool([])\n", "empty|at least one"),
    ],
)
def test_what_goes_wrong_in_a_users_file_is_named(tmp_path: Path, code: str, message: str) -> None:
    with pytest.raises(PoolError, match=message):
        load_spec(write(tmp_path, "flow.py", code))


def test_yaml_agents_share_backends_by_name(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path, "flow.yaml", YAML))
    assert spec.pool.names == ("a", "b", "c") and spec.graph is None
    first = spec.pool["a"]
    assert first.backend is not None and first.backend.model == "ollama/tiny"
    assert first.shots[0].question == "q" and spec.pool["b"].backend is not None
    by_name = write(tmp_path, "m.yaml", "backends:\n  x: {model: m}\nagents: [{name: a, backend: x}]\n")
    assert load_spec(by_name).pool["a"].backend is not None
    listed = write(tmp_path, "l.json", '[{"name": "a"}]')
    assert load_spec(listed).pool.names == ("a",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agents: [", "not valid YAML"),
        ("name: x", "list of agents"),
        ("agents: []", "empty|at least one"),
        ("agents: [a]", "every agent is a mapping with a name"),
        ("agents: [{name: a}, {name: a}]", "twice"),
        ("agents: [{name: a, backend: x}]", "names backend 'x'"),
        ("agents: [{name: a, colour: red}]", "colour"),
        ("agents: [{name: a}]\nrouters: []", "unknown keys"),
        ("backends: 3\nagents: [{name: a}]", "backends is a list"),
        ("backends: [{name: x}]\nagents: [{name: a}]", "model"),
        ("backends: [{name: x, model: m}, {name: x, model: m}]\nagents: [{name: a}]", "twice"),
    ],
)
def test_bad_yaml_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PoolError, match=message):
        load_spec(write(tmp_path, "flow.yaml", text))


def test_a_bad_graph_is_a_graph_error(tmp_path: Path) -> None:
    text = "agents: [{name: a}]\ngraph: {nodes: [{id: a, agent: a}], edges: [{source: a, target: b}]}\n"
    with pytest.raises(GraphError):
        load_spec(write(tmp_path, "flow.yaml", text))


def test_a_missing_or_strange_file_is_refused(tmp_path: Path) -> None:
    for name in ("none.py", "none.yaml", "none.py:pool"):
        with pytest.raises(PoolError, match="no file"):
            load_spec(tmp_path / name)
    with pytest.raises(PoolError, match=r"neither a \.py nor a \.yaml"):
        load_spec(write(tmp_path, "flow.txt", ""))
    (tmp_path / "latin.yaml").write_bytes(b"agents: [{name: caf\xe9}]")
    with pytest.raises(PoolError, match="not UTF-8"):
        load_spec(tmp_path / "latin.yaml")
