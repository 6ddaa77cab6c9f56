"""Editing pool files: only what is meant changes, whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.cards import splice
from agentnet.cards.edit import PoolFile
from agentnet.errors import AgentnetError, DataError, PoolError
from agentnet.graphs.agent import Agent, Backend
from agentnet.runtime.spec import load_spec

FILE = """\
# A bank's pool.
backends:
  small: {model: openai/gpt-4o-mini, timeout_s: 30}   # cheap

agents:
  # Cards: blocks them.
  - name: cards            # first
    description: >
      Blocks lost
      cards.
    backend: small

    # inner remark
  # Loans: approved by Bob.
  - description: "Loans"   # quoted
    name: loans
    examples:
    - I want a loan
    - 'no'
  - {name: fees, description: Fees, backend: small}  # in a line

# The end.
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "pool.yaml").write_text(FILE)
    return tmp_path / "pool.yaml"


def test_added_agents_follow_the_last_and_nothing_else_changes(path: Path) -> None:
    new = Agent(name="no", description="Says: 'no' # always\n", examples=("on", "x: y"))
    file = PoolFile.read(path).add(new, Agent(name="b"), backend="small")
    file.write()
    text = path.read_text()
    before, after = FILE.split("  # in a line\n")
    assert text.startswith(before + "  # in a line\n  - name: 'no'\n") and text.endswith(after)
    added = load_spec(path).pool["no"]
    assert (added.description, added.examples) == (new.description, new.examples)
    assert added.backend is not None and added.backend.name == "small"
    assert file.names == ("cards", "loans", "fees", "no", "b")


def test_a_removed_agent_takes_its_own_comments_along(path: Path) -> None:
    file = PoolFile.read(path)
    file.remove("cards").write()
    lines = FILE.splitlines(keepends=True)
    assert path.read_text() == "".join(lines[:5] + lines[13:]), "from its comment to its inner remark"
    PoolFile.read(path).remove("loans").write()
    assert "Bob" not in path.read_text() and "# The end." in path.read_text()
    with pytest.raises(PoolError, match="at least one agent"):
        PoolFile.read(path).remove("fees")
    assert load_spec(path).pool.names == ("fees",)


def test_a_heading_with_a_blank_line_below_it_stays(path: Path) -> None:
    path.write_text("agents:\n# --- billing ---\n\n# asks first\n- name: a\n- name: b\n")
    PoolFile.read(path).remove("a").write()
    assert path.read_text() == "agents:\n# --- billing ---\n\n- name: b\n"


def test_replace_keeps_the_place_and_the_comment_above(path: Path) -> None:
    PoolFile.read(path).replace(Agent(name="loans", description="All loans")).write()
    text = path.read_text()
    assert "  # Loans: approved by Bob.\n  - name: loans\n    description: All loans\n  - {name: fees" in text
    PoolFile.read(path).replace(Agent(name="fees", description="x, y: z")).write()
    assert load_spec(path).pool["fees"].description == "x, y: z"
    assert load_spec(path).pool.names == ("cards", "loans", "fees")


@pytest.mark.parametrize(
    ("name", "fields", "kept"),
    [
        ("loans", {"description": "New: loans"}, "  - description: 'New: loans'   # quoted\n    name: loans"),
        ("cards", {"description": "Short"}, "    description: Short\n    backend: small"),
        ("cards", {"examples": ["a, b", "no"]}, "    backend: small\n    examples: ['a, b', 'no']\n"),
        ("loans", {"examples": ["x"]}, "    examples: [x]\n  - {name: fees"),
        ("fees", {"description": "F, G"}, "  - {name: fees, description: 'F, G', backend: small}  # in a"),
        ("fees", {"system": "Hi"}, "backend: small, system: Hi}  # in a line"),
    ],
)
def test_fields_are_set_in_place(path: Path, name: str, fields: dict[str, Any], kept: str) -> None:
    PoolFile.read(path).update(name, **fields).write()
    assert kept in path.read_text()
    for key, value in fields.items():
        found = getattr(load_spec(path).pool[name], key)
        assert (list(found) if isinstance(found, tuple) else found) == value
    assert path.read_text().count("#") == FILE.count("#")


@pytest.mark.parametrize(
    "text",
    [
        "agents: [{name: a}, {name: b, description: x}]\n",
        "- name: a\n- name: b",
        "agents:\r\n- name: a\r\n  description: |\r\n    two\r\n    lines\r\n- name: b\r\n",
        "agents:\n    -   name: a\n        description: x\n    -   name: b\n",
        "\ufeffagents:\n- name: a\n- name: b # \U0001f600\n",
    ],
    ids=["flow", "top", "crlf", "wide", "bom"],
)
def test_other_layouts(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pool.yml"
    path.write_bytes(text.encode())
    PoolFile.read(path).add(Agent(name="c", description="ü")).write()
    PoolFile.read(path).update("a", description="A").write()
    PoolFile.read(path).remove("b").write()
    pool = load_spec(path).pool
    assert pool.names == ("a", "c") and (pool["a"].description, pool["c"].description) == ("A", "ü")
    raw = path.read_bytes()
    assert raw.count(b"\r\n") == raw.count(b"\n") if "\r" in text else b"\r" not in raw


def test_json_pools_are_edited_too(tmp_path: Path) -> None:
    path = tmp_path / "agents.json"
    path.write_text(json.dumps([{"name": "a", "price_source": None}, {"name": "b"}], indent=2))
    PoolFile.read(path).add(Agent(name="c", description="ü")).remove("b").write()
    assert json.loads(path.read_text()) == [
        {"name": "a", "price_source": None},
        {"name": "c", "description": "ü"},
    ]
    assert '\n  {\n    "name"' in path.read_text() and "ü" in path.read_text()


@pytest.mark.parametrize("name", ["pool.yaml", "pool.json"])
def test_a_missing_file_is_made_on_demand(tmp_path: Path, name: str) -> None:
    with pytest.raises(PoolError, match="no file"):
        PoolFile.read(tmp_path / name)
    file = PoolFile.read(tmp_path / name, create=True)
    with pytest.raises(PoolError, match="no agent 'a'"):
        file.remove("a")
    file.add(Agent(name="a"), Agent(name="b")).write()
    assert load_spec(tmp_path / name).pool.names == ("a", "b")
    with pytest.raises(DataError, match="changed by somebody else"):
        file.add(Agent(name="x")).write()
    with pytest.raises(PoolError, match="no folder"):
        PoolFile.read(tmp_path / "none" / name, create=True)


def test_what_is_refused_leaves_the_file(path: Path) -> None:
    file = PoolFile.read(path)
    for change, said in [
        (lambda: file.add(Agent(name="cards")), "already"),
        (lambda: file.remove("ghost"), "no agent 'ghost'"),
        (lambda: file.replace(Agent(name="ghost")), "no agent 'ghost'"),
        (lambda: file.add(Agent(name="x"), backend="large"), "names backend 'large'"),
        (lambda: file.add(Agent(name="x", description="sk-abcdefghijklmnop1234")), "looks like a key"),
        (lambda: file.add(Agent(name="x", examples=("password=hunter22222",))), r"examples\[0\] holds"),
        (lambda: file.update("cards", system="Bearer abcdefghijklmnopq"), "looks like a key"),
        (lambda: file.add(Agent(name="x", backend=Backend(name="small", model="other"))), "rename one"),
    ]:
        with pytest.raises(AgentnetError, match=said) as caught:
            change()
        assert "hunter22" not in str(caught.value)
    assert path.read_text() == FILE
    with pytest.raises(PoolError, match=r"pool\.py is a Python file and read only.*\.yaml"):
        PoolFile.read(path.with_name("pool.py"))
    with pytest.raises(PoolError, match="read only"):
        PoolFile.read("pool.py:mine", create=True)
    with pytest.raises(PoolError, match="ends in"):
        PoolFile.read("pool.txt", create=True)


def test_an_agent_of_the_graph_is_not_removed(path: Path) -> None:
    path.write_text("agents: [{name: a}, {name: b}]\ngraph: {nodes: [{id: n, agent: a}]}\n")
    with pytest.raises(PoolError, match=r"graph in .*pool\.yaml needs a"):
        PoolFile.read(path).remove("a")
    PoolFile.read(path).remove("b").write()


def test_aliases_are_not_taken_apart(path: Path) -> None:
    path.write_text("agents:\n- &one {name: a, description: &d x}\n- {name: b, description: *d}\n")
    with pytest.raises(PoolError, match="would not be readable"):
        PoolFile.read(path).remove("a")
    with pytest.raises(PoolError, match="is an alias"):
        PoolFile.read(path).update("b", description="y")
    PoolFile.read(path).remove("b").write()
    assert load_spec(path).pool.names == ("a",)


def test_a_file_that_was_changed_meanwhile_is_not_overwritten(path: Path) -> None:
    file = PoolFile.read(path).add(Agent(name="x"))
    path.write_text(FILE + "# more\n")
    with pytest.raises(DataError, match="changed by somebody else"):
        file.write()
    assert path.read_text() == FILE + "# more\n"


def test_links_and_modes_stay(tmp_path: Path, path: Path) -> None:
    path.chmod(0o640)
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    PoolFile.read(link).add(Agent(name="x")).write()
    assert link.is_symlink() and path.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["link.yaml", "pool.yaml"], "no part file is left"
    assert "x" in load_spec(path).pool


def test_an_import_s_strategy_goes_with_a_backend(path: Path) -> None:
    remote = Agent(name="far", strategy="a2a", options={"url": "https://far.example"})
    own = PoolFile.read(path).add(remote)
    assert own.agent("far").strategy == "a2a" and own.agent("far").options["url"] == "https://far.example"
    played = PoolFile.read(path).add(remote, backend="small").agent("far")
    assert played.strategy == "direct" and not played.options and played.backend is not None


# -- any layout ----------------------------------------------------------------------------------
COMMENT = st.sampled_from(["", "# c", "#", "# - name: trap", "# 'x"])
VALUE = st.text("ab: #'\"-\n{}[],&*!|>%@\u00fc", max_size=12)


@st.composite
def pools(draw: st.DrawFn) -> tuple[str, list[str]]:
    """YAML of agents in mixed layouts, with comments everywhere."""
    names = [f"n{i}" for i in range(draw(st.integers(2, 5)))]
    indent = " " * draw(st.integers(0, 3))
    lines = ["agents:  " + draw(COMMENT)]
    for name in names:
        if above := draw(COMMENT):
            lines.append(draw(st.sampled_from(["", indent, indent + "    "])) + above)
        value = draw(VALUE)
        kind = draw(st.sampled_from(["flow", "plain", "literal", "list", "bare"]))
        if kind == "flow":
            lines.append(f"{indent}- {{name: {name}, description: {json.dumps(value)}}}  {draw(COMMENT)}")
        else:
            lines.append(f"{indent}- name: {name}  {draw(COMMENT)}")
        if kind == "plain":
            lines.append(f"{indent}  description: {json.dumps(value)}  {draw(COMMENT)}")
        elif kind == "literal":
            lines += [f"{indent}  description: |", f"{indent}    words # no comment", f"{indent}    more"]
        elif kind == "list":
            lines += [f"{indent}  examples:  {draw(COMMENT)}", f"{indent}  - {json.dumps(value)}"]
        lines += draw(st.lists(st.sampled_from(["", f"{indent}    # deep"]), max_size=2))
    # Without a line break at the end a literal's own value would change with what follows.
    ends = ["\n", "\n\n# end\n", *([""] if kind != "literal" else [])]
    return "\n".join(lines) + draw(st.sampled_from(ends)), names


@settings(max_examples=150, deadline=None)
@given(pool=pools(), value=VALUE, pick=st.integers(0, 4))
def test_any_layout_keeps_its_other_entries(pool: tuple[str, list[str]], value: str, pick: int) -> None:
    text, names = pool
    name = names[pick % len(names)]
    before = yaml.safe_load(text)["agents"]
    new = {"name": "new", "description": value}
    appended = splice.append(text, [new])
    assert yaml.safe_load(appended)["agents"] == [*before, new]
    removed = splice.remove(text, name)
    assert yaml.safe_load(removed)["agents"] == [item for item in before if item["name"] != name]
    replaced = splice.replace(text, name, new)
    assert yaml.safe_load(replaced)["agents"] == [new if item["name"] == name else item for item in before]
    changed = splice.set_field(text, name, "description", value)
    wanted = [item | {"description": value} if item["name"] == name else item for item in before]
    assert yaml.safe_load(changed)["agents"] == wanted
    for other in set(names) - {name}:
        (line,) = (line for line in text.split("\n") if f"name: {other}" in line)
        for edited in (appended, removed, replaced, changed):
            assert line in edited.split("\n"), "an untouched entry keeps its line, comment and all"
