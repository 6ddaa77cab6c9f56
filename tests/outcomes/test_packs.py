"""Packs: what is read, what is refused, and that writing loses nothing."""

from __future__ import annotations

import json
import sys
import types
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentnet.errors import DataError
from agentnet.graphs.agent import Agent
from agentnet.graphs.live import Step
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Message
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.packs import load_agents, load_outcomes, load_queries, save_pack, save_queries
from agentnet.outcomes.table import LoggedRun, Outcomes, Queries

QUERIES = {
    "query_id": ["q1", "q2", "q3"],
    "text": ["one", "two", "three"],
    "split": ["train", "val", "test"],
    "metric": ["choice", "choice", "f1"],
}
OUTCOMES = {
    "query_id": ["q1", "q1", "q2", "q3", "q3"],
    "agent": ["a", "b", "a", "b", "a"],
    "score": [1.0, 0.0, 0.5, 0.25, None],
    "cost_usd": [0.1, None, 0.3, 0.4, 0.5],
    "cost_source": ["x"] * 5,
}
AGENTS = [{"name": "a"}, {"name": "b", "price_in_per_mtok": 0.2}]


def write_pack(folder: Path, queries=QUERIES, outcomes=OUTCOMES, agents=AGENTS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if queries is not None:
        pq.write_table(pa.table(queries), folder / "queries.parquet")
    if outcomes is not None:
        pq.write_table(pa.table(outcomes), folder / "outcomes.parquet")
    if agents is not None:
        (folder / "agents.json").write_text(agents if isinstance(agents, str) else json.dumps(agents))
    return folder


def test_reads_cells_in_their_place_and_leaves_the_rest_unknown(tmp_path):
    outcomes = load_outcomes(write_pack(tmp_path / "mine"))
    nan = np.nan
    np.testing.assert_array_equal(outcomes.score, np.float32([[1, 0], [0.5, nan], [nan, 0.25]]))
    np.testing.assert_array_equal(outcomes.cost, [[0.1, nan], [0.3, nan], [0.5, 0.4]])
    assert np.isnan(outcomes.propensity).all() and (outcomes.weight == 1).all()
    assert outcomes.response is None and outcomes.source == "mine" and outcomes.kind == "outcomes"
    assert outcomes.pool["b"].price_in_per_mtok == Decimal("0.2")


def test_split_and_pool_select_rows_and_columns(tmp_path):
    folder = write_pack(tmp_path)
    assert load_outcomes(folder, split="val").queries.query_id.tolist() == ["q2"]
    assert len(load_outcomes(folder, split=["train", "test"])) == 2
    other = load_outcomes(folder, pool=Pool([Agent(name="new"), Agent(name="a")]))
    assert np.isnan(other.score[:, 0]).all() and other.score[0, 1] == 1
    with pytest.raises(DataError, match="splits are"):
        load_outcomes(folder, split="training")


def test_optional_columns_and_other_encodings_of_text_and_numbers(tmp_path):
    history = json.dumps([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}])
    queries = {**QUERIES, "context": ["c", None, None], "history": [None, history, ""], "extra": [1, 2, 3]}
    queries["split"] = pa.array(QUERIES["split"]).dictionary_encode()
    outcomes = {
        **{k: v[:2] for k, v in OUTCOMES.items()},
        "score": pa.array([1, 0], pa.int32()),
        "cost_usd": pa.array([Decimal("0.10"), None], pa.decimal128(10, 4)),
        "agent": pa.array(["a", "b"], pa.large_string()),
        "propensity": [0.25, None],
        "weight": [0.5, None],
        "latency_s": pa.array([1.5, None], pa.float32()),
        "prompt_tokens": [7, None],
        "response": ["yes", None],
    }
    read = load_outcomes(write_pack(tmp_path, queries, outcomes))
    assert read.queries.context == ("c", None, None)
    assert read.queries.history == ((), (Message("user", "hi"), Message("assistant", "hello")), ())
    assert read.tasks()[1].history[1].content == "hello"
    assert (read.propensity[0, 0], read.weight[0, 0], read.weight[0, 1]) == (0.25, 0.5, 1)
    assert (read.latency_s[0, 0], read.prompt_tokens[0, 0], read.cost[0, 0]) == (1.5, 7, 0.1)
    assert read.response is not None and read.response[0].tolist() == ["yes", None]
    assert np.isnan(read.completion_tokens).all()


def cut(table: dict, name: str) -> dict:
    return {key: value for key, value in table.items() if key != name}


def put(table: dict, name: str, row: int, value) -> dict:
    return {**table, name: [value if i == row else old for i, old in enumerate(table[name])]}


BAD = {
    "no queries": (dict(queries=None), ["queries.parquet"]),
    "no outcomes": (dict(outcomes=None), ["outcomes.parquet", "missing", "load_queries"]),
    "no agents": (dict(agents=None), ["agents.json"]),
    "column missing": (dict(queries=cut(QUERIES, "text")), ["queries.parquet", "'text'", "query_id"]),
    "score missing": (dict(outcomes=cut(OUTCOMES, "score")), ["outcomes.parquet", "'score'"]),
    "text of numbers": (dict(queries={**QUERIES, "text": [1, 2, 3]}), ["'text'", "int64"]),
    "score of text": (dict(outcomes={**OUTCOMES, "score": ["1"] * 5}), ["'score'", "string"]),
    "null text": (dict(queries=put(QUERIES, "text", 1, None)), ["'text'", "row 1", "null"]),
    "blank text": (dict(queries=put(QUERIES, "text", 2, " \n")), ["'text'", "row 2", "empty"]),
    "NaN score": (
        dict(outcomes=put(OUTCOMES, "score", 3, float("nan"))),
        ["'score'", "nan", "row 3", "null"],
    ),
    "big score": (dict(outcomes=put(OUTCOMES, "score", 0, 1.5)), ["'score'", "1.5", "row 0"]),
    "negative score": (dict(outcomes=put(OUTCOMES, "score", 1, -0.1)), ["'score'", "-0.1"]),
    "after null": (dict(outcomes=put(put(OUTCOMES, "cost_usd", 4, -1.0), "cost_usd", 0, None)), ["row 4"]),
    "negative cost": (dict(outcomes=put(OUTCOMES, "cost_usd", 2, -0.1)), ["'cost_usd'", "-0.1", "row 2"]),
    "infinite cost": (dict(outcomes=put(OUTCOMES, "cost_usd", 2, float("inf"))), ["'cost_usd'", "inf"]),
    "propensity 0": (dict(outcomes={**OUTCOMES, "propensity": [0.0] * 5}), ["'propensity'", "(0, 1]"]),
    "unknown agent": (dict(outcomes=put(OUTCOMES, "agent", 1, "zed")), ["'zed'", "agents.json"]),
    "unknown query": (dict(outcomes=put(OUTCOMES, "query_id", 1, "q9")), ["'q9'", "queries.parquet"]),
    "two outcomes": (dict(outcomes=put(OUTCOMES, "agent", 1, "a")), ["'a'", "'q1'", "two rows"]),
    "two queries": (dict(queries=put(QUERIES, "query_id", 1, "q1")), ["'q1'", "twice"]),
    "unknown split": (dict(queries=put(QUERIES, "split", 1, "dev")), ["'dev'", "'train'"]),
    "unknown metric": (dict(queries=put(QUERIES, "metric", 1, "bleu")), ["'bleu'", "'exact_match'"]),
    "NUL in id": (dict(queries=put(QUERIES, "query_id", 1, "q\0")), ["'query_id'", "NUL"]),
    "no rows": (dict(queries={k: pa.array([], pa.string()) for k in QUERIES}), ["no rows"]),
    "bad JSON": (dict(agents="[{"), ["agents.json", "not valid JSON"]),
    "agents no list": (dict(agents={"a": 1}), ["agents.json", "list"]),
    "agent no name": (dict(agents=[{"description": "x"}]), ["agents.json", "name"]),
    "agent key": (dict(agents=[{"name": "a", "prise": 1}]), ["agents.json", "prise"]),
    "agent twice": (dict(agents=[{"name": "a"}, {"name": "a"}]), ["agents.json", "twice"]),
    "no agents at all": (dict(agents=[]), ["agents.json", "no agents to route to", "load_queries"]),
    "bad history": (
        dict(queries={**QUERIES, "history": [None, '{"role": 1}', None]}),
        ["'history'", "row 1"],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_pack_is_one_clear_error(tmp_path, name):
    change, said = BAD[name]
    with pytest.raises(DataError) as caught:
        load_outcomes(write_pack(tmp_path / "pack", **change))
    for part in said:
        assert part in str(caught.value)


def test_a_missing_folder_a_file_and_a_folder_of_packs(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        load_outcomes(tmp_path / "nowhere")
    write_pack(tmp_path / "packs" / "inner")
    with pytest.raises(DataError, match="inner"):
        load_outcomes(tmp_path / "packs")
    with pytest.raises(DataError, match="is a file"):
        load_outcomes(tmp_path / "packs" / "inner" / "agents.json")


def test_a_file_that_is_no_parquet_and_text_that_is_not_utf8(tmp_path):
    folder = write_pack(tmp_path)
    broken = pa.array([b"one", b"\xff\xfe", b"three"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({**QUERIES, "text": broken}), folder / "queries.parquet")
    with pytest.raises(DataError, match=r"queries\.parquet"):
        load_outcomes(folder)
    (folder / "queries.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        load_outcomes(folder)


def test_a_database_url_goes_to_the_trace_export(tmp_path, monkeypatch):
    asked = []
    outcomes = load_outcomes(write_pack(tmp_path))
    export = types.SimpleNamespace(to_outcomes=lambda url: asked.append(url) or outcomes)
    monkeypatch.setitem(sys.modules, "agentnet.traces.export", export)
    pool = Pool([Agent(name="b")])
    read = load_outcomes("postgresql+psycopg://host/db", split="train", pool=pool)
    assert asked == ["postgresql+psycopg://host/db"]
    assert read.agents == ("b",) and read.queries.query_id.tolist() == ["q1"]


LABELS = {**QUERIES, "metric": ["label"] * 3, "gold": ["b", "a", "oos"]}


def test_label_packs_score_by_name_and_know_what_is_out_of_scope(tmp_path):
    folder = write_pack(tmp_path, LABELS, None)
    outcomes = load_outcomes(folder)
    assert outcomes.kind == "label"
    assert outcomes.score.tolist() == [[0, 1], [1, 0], [0, 0]]
    assert np.isnan(outcomes.cost).all()
    assert outcomes.out_of_scope.tolist() == [False, False, True]
    # Another pool makes other rows out of scope, and scores agents that the pack does not list.
    other = load_outcomes(folder, pool=Pool([Agent(name="b"), Agent(name="oos")]))
    assert other.score.tolist() == [[1, 0], [0, 0], [0, 1]]
    assert other.out_of_scope.tolist() == [False, True, False]


def test_only_label_rows_can_be_out_of_scope(tmp_path):
    queries = {**QUERIES, "gold": ["42", "no agent", "x"]}
    assert not load_outcomes(write_pack(tmp_path, queries)).out_of_scope.any()


def test_a_label_pack_needs_gold_and_only_labels(tmp_path):
    with pytest.raises(DataError, match="'gold'"):
        load_outcomes(write_pack(tmp_path / "1", put(LABELS, "gold", 1, None), None))
    with pytest.raises(DataError, match="choice"):
        load_outcomes(write_pack(tmp_path / "2", put(LABELS, "metric", 1, "choice"), None))


def test_queries_load_without_agents(tmp_path):
    folder = write_pack(tmp_path, QUERIES, None, [])
    assert load_queries(folder).text == ("one", "two", "three")
    assert load_queries(folder).gold == (None,) * 3


def test_agents_file_with_examples_and_backend(tmp_path):
    file = tmp_path / "agents.json"
    backend = {"name": "m", "model": "ollama/m"}
    file.write_text(json.dumps([{"name": "a", "examples": ["x", "y"], "backend": backend}]))
    agent = load_agents(file)["a"]
    assert agent.examples == ("x", "y") and agent.backend is not None and agent.backend.model == "ollama/m"
    with pytest.raises(DataError, match="cannot be read"):
        load_agents(tmp_path / "none.json")


# -- writing ---------------------------------------------------------------------------------------
def same(a: Outcomes, b: Outcomes) -> None:
    for name in ("score", "cost", "latency_s", "propensity", "weight", "prompt_tokens", "completion_tokens"):
        left, right = getattr(a, name), getattr(b, name)
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right, err_msg=name)
    for name in ("text", "context", "history", "task", "gold", "metric"):
        assert getattr(a.queries, name) == getattr(b.queries, name), name
    assert a.queries.query_id.tolist() == b.queries.query_id.tolist()
    assert a.queries.split.tolist() == b.queries.split.tolist()
    assert a.pool == b.pool and a.kind == b.kind and a.runs == b.runs
    assert (a.response is None) == (b.response is None)
    assert a.response is None or a.response.tolist() == b.response.tolist()


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
words = text.filter(str.strip)


def matrix(rows: int, columns: int, low: float, high: float, width: int):
    value = st.none() | st.floats(low, high, width=width, exclude_min=low > 0)
    dtype = np.float32 if width == 32 else np.float64
    return st.lists(st.lists(value, min_size=columns, max_size=columns), min_size=rows, max_size=rows).map(
        lambda rows_: np.array([[np.nan if x is None else x for x in row] for row in rows_], dtype)
    )


@st.composite
def tables(draw):
    n, columns = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    ids = draw(st.lists(text, min_size=n, max_size=n, unique=True))
    turns = st.lists(st.builds(Message, st.sampled_from(["user", "assistant"]), text), max_size=2).map(tuple)
    rows = {name: st.tuples(*[strategy] * n) for name, strategy in {
        "text": words, "context": st.none() | text, "history": turns, "task": text | st.just(""),
        "gold": st.none() | text, "metric": st.sampled_from(["choice", "label", ""]),
    }.items()}  # fmt: skip
    queries = Queries(
        query_id=np.array(ids, dtype=np.str_),
        split=np.array(draw(st.lists(st.sampled_from(["train", "val", "test"]), min_size=n, max_size=n))),
        **{name: draw(strategy) for name, strategy in rows.items()},
    )
    pool = Pool(Agent(name=f"agent {j}", price_in_per_mtok=Decimal("0.1") * j) for j in range(columns))
    weight = draw(matrix(n, columns, 0, 2, 32))
    texts = np.array(
        draw(st.lists(st.none() | st.text(max_size=5), min_size=n * columns, max_size=n * columns)), object
    )
    run = LoggedRun(
        query_id=ids[0],
        graph=TaskGraph.of(["agent 0"]),
        score=draw(st.none() | st.floats(0, 1)),
        steps=(
            Step(node="n", agent="agent 0", cost=Decimal("0.1"), answer=draw(text)),
            Step(node="m", agent="x"),
        ),
        tokens=draw(st.none() | st.integers(0, 9)),
        cost_usd=draw(st.none() | st.floats(0, 1)),
    )
    return Outcomes(
        queries=queries,
        pool=pool,
        score=draw(matrix(n, columns, 0, 1, 32)),
        cost=draw(matrix(n, columns, 0, 1e6, 64)),
        latency_s=draw(matrix(n, columns, 0, 100, 32)),
        propensity=draw(matrix(n, columns, 0.015625, 1, 32)),
        weight=np.nan_to_num(weight, nan=1.0),
        prompt_tokens=draw(matrix(n, columns, 0, 1e6, 64)),
        completion_tokens=np.round(draw(matrix(n, columns, 0, 1e6, 64))),
        response=texts.reshape(n, columns) if any(item is not None for item in texts) else None,
        runs=draw(st.sampled_from([(), (run,)])),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(outcomes=tables())
def test_writing_and_reading_loses_nothing(tmp_path_factory, outcomes):
    folder = tmp_path_factory.mktemp("pack")
    save_pack(outcomes, folder)
    same(outcomes, load_outcomes(folder))


def test_a_label_pack_stays_one_and_an_older_pack_is_replaced(tmp_path):
    folder = write_pack(tmp_path / "old")
    outcomes = load_outcomes(write_pack(tmp_path / "labels", LABELS, None))
    save_pack(outcomes, folder)
    same(outcomes, load_outcomes(folder))
    assert sorted(path.name for path in folder.iterdir()) == ["agents.json", "queries.parquet"]


def test_a_label_table_whose_scores_were_changed_keeps_them(tmp_path):
    outcomes = load_outcomes(write_pack(tmp_path / "labels", LABELS, None))
    wider = outcomes.for_pool(Pool([Agent(name="b"), Agent(name="new")]))
    save_pack(wider, tmp_path / "wide")
    np.testing.assert_array_equal(load_outcomes(tmp_path / "wide").score, wider.score)


def test_save_queries_makes_a_pack_without_agents(tmp_path):
    queries = load_queries(write_pack(tmp_path / "a"))
    save_queries(queries, tmp_path / "b")
    assert load_queries(tmp_path / "b").text == queries.text
    with pytest.raises(DataError, match="no agents to route to"):
        load_agents(tmp_path / "b" / "agents.json")


def test_runs_of_unknown_queries_and_broken_graphs_are_refused(tmp_path):
    folder = write_pack(tmp_path)
    graph = json.dumps(TaskGraph.of(["a"]).to_dict())
    for row, said in (
        ({"query_id": "q9", "graph": graph, "score": 1.0}, "q9"),
        ({"query_id": "q1", "graph": "{", "score": 1.0}, "row 0"),
        ({"query_id": "q1", "graph": "[]", "score": 1.0}, "row 0"),
        ({"query_id": "q1", "graph": graph, "score": 1.0, "steps": '[{"nodes": 1}]'}, "row 0"),
    ):
        pq.write_table(pa.Table.from_pylist([row]), folder / "runs.parquet")
        with pytest.raises(DataError, match=said):
            load_outcomes(folder)
