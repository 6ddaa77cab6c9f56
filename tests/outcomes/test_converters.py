"""Converters, on small samples in the public forms (made up for these tests)."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agentnet.errors import DataError
from agentnet.outcomes.converters import (
    CONVERTERS,
    convert,
    from_clinc,
    from_hotpotqa,
    from_llmrouterbench,
    from_routellm,
    from_routerbench,
)
from agentnet.outcomes.packs import load_outcomes, load_queries
from agentnet.outcomes.splits import leaking
from agentnet.outcomes.table import Outcomes


def write_csv(file: Path, rows: list[dict]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


ROUTERBENCH = [
    {
        "sample_id": f"arc.{i}",
        "prompt": repr([f"Which is number {i}?\nA) it's one\nB) two"]),
        "eval_name": "arc",
        "big/model": 1.0,
        "small": 0.25 * i,
        "big/model|model_response": "['B']",
        "small|model_response": "['A']",
        "big/model|total_cost": 0.002,
        "small|total_cost": "" if i == 1 else 0.0001,
        "oracle_model_to_route_to": "small",
    }
    for i in range(3)
]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_routerbench(tmp_path, kind):
    file = tmp_path / f"rb.{kind}"
    if kind == "csv":
        write_csv(file, ROUTERBENCH)
    else:
        rows = [{**row, "small|total_cost": row["small|total_cost"] or None} for row in ROUTERBENCH]
        pq.write_table(pa.Table.from_pylist(rows), file)
    outcomes = from_routerbench(file)
    assert outcomes.agents == ("big/model", "small")
    np.testing.assert_array_equal(outcomes.score, np.float32([[1, 0], [1, 0.25], [1, 0.5]]))
    np.testing.assert_array_equal(outcomes.cost[:, 0], [0.002] * 3)
    assert np.isnan(outcomes.cost[:, 1]).tolist() == [False, True, False]
    assert outcomes.queries.text[0] == "Which is number 0?\nA) it's one\nB) two"
    assert outcomes.response[0].tolist() == ["B", "A"]
    assert outcomes.queries.task == ("arc",) * 3


def test_routerbench_refuses_pickles_and_other_tables(tmp_path):
    with pytest.raises(DataError, match=r"pickle.*to_parquet"):
        from_routerbench(tmp_path / "routerbench_0shot.pkl")
    with pytest.raises(DataError, match="total_cost"):
        from_routerbench(write_csv(tmp_path / "x.csv", [{"prompt": "p", "eval_name": "e", "m": 1}]))
    with pytest.raises(DataError, match="'eval_name'"):
        from_routerbench(write_csv(tmp_path / "y.csv", [{"prompt": "p"}]))
    with pytest.raises(DataError, match="does not exist"):
        from_routerbench(tmp_path / "none.csv")
    with pytest.raises(DataError, match="'m' must be a number"):
        row = {"prompt": "p", "eval_name": "e", "m": "good", "m|total_cost": 1}
        from_routerbench(write_csv(tmp_path / "z.csv", [row]))


def test_routellm_files_and_folders(tmp_path):
    first = [
        {"prompt": "1", "weak": True, "strong": True},
        {"prompt": "two\nA. x", "weak": False, "strong": True},
    ]
    second = [{"prompt": "q", "weak": False, "strong": True, "weak_response": "no", "strong_response": "yes"}]
    write_csv(tmp_path / "mmlu_anatomy.csv", first)
    write_csv(tmp_path / "gsm8k_responses.csv", second)
    outcomes = from_routellm(tmp_path)
    assert outcomes.agents == ("strong", "weak")
    assert outcomes.queries.task == ("gsm8k", "anatomy", "anatomy")
    assert outcomes.queries.text == ("q", "1", "two\nA. x")
    assert outcomes.score.tolist() == [[1, 0], [1, 1], [1, 0]]
    assert outcomes.response.tolist() == [["yes", "no"], [None, None], [None, None]]
    assert np.isnan(outcomes.cost).all() and set(outcomes.queries.split.tolist()) == {"test"}
    single = from_routellm(tmp_path / "mmlu_anatomy.csv")
    assert single.response is None and len(single) == 2
    # The same row has the same id, whichever files are converted with it.
    assert set(single.queries.query_id.tolist()) < set(outcomes.queries.query_id.tolist())
    with pytest.raises(DataError, match=r"no \.csv"):
        (tmp_path / "empty").mkdir()
        from_routellm(tmp_path / "empty")


def result(model: str, scores, **more) -> dict:
    records = [
        {
            "index": i,
            "origin_query": f"question {i}",
            "prompt": f"Answer: question {i}",
            "prediction": "4",
            "raw_output": "It is 4." if i else ["It is 4."],
            "ground_truth": 4,
            "score": score,
            "prompt_tokens": 10 + i,
            "completion_tokens": 5,
            "cost": 0.0 if model == "local" else 0.001,
        }
        for i, score in enumerate(scores)
    ]
    return {"dataset_name": "aime", "split": "test", "model_name": model, "records": records, **more}


def test_llmrouterbench_result_files(tmp_path):
    folder = tmp_path / "aime" / "test"
    folder.mkdir(parents=True)
    for name, data in {
        "gpt-20250101_000000.json": result("gpt", [0, 0]),
        "gpt-20250301_000000.json": result("gpt", [1.0, 0.0]),
        "local-20250101_000000.json": result("local", [0.0, None, 1.0]),
        "demo.json": result("demo", [1.0], demo=True),
    }.items():
        (folder / name).write_text(json.dumps(data))
    outcomes = from_llmrouterbench(tmp_path)
    assert outcomes.agents == ("gpt", "local")
    np.testing.assert_array_equal(outcomes.score, np.float32([[1, 0], [0, np.nan], [np.nan, 1]]))
    assert np.isnan(outcomes.cost[:, 1]).all(), "a price of 0 is unknown, not free"
    assert outcomes.cost[0, 0] == 0.001 and outcomes.prompt_tokens[1, 0] == 11
    assert outcomes.response[0, 0] == "It is 4."
    assert outcomes.queries.text[0] == "question 0" and outcomes.queries.gold[0] == "4"
    assert outcomes.queries.task == ("aime",) * 3


def test_llmrouterbench_flat_records(tmp_path):
    def flat(model, index, **more):
        return {"dataset_id": "d", "split": "test", "model_name": model, "record_index": index,
                "prompt": f"p{index}", "score": 1.0, **more}  # fmt: skip

    file = tmp_path / "records.jsonl"
    file.write_text("\n".join(json.dumps(flat(m, i)) for m in "ab" for i in range(2)) + "\n\n")
    outcomes = from_llmrouterbench(file)
    assert outcomes.score.tolist() == [[1, 1], [1, 1]] and outcomes.queries.text == ("p0", "p1")
    for rows, said in (
        ([flat("a", 0), flat("a", 0)], "two outcomes"),
        ([flat("a", 0), flat("b", 0, prompt="other")], "another question"),
        ([{k: v for k, v in flat("a", 0).items() if k != "model_name"}], "lacks model_name"),
        ([flat("a", 0, prompt="")], "neither"),
        ([flat("a", 0, score="good")], "score"),
        ([[1]], "not an object"),
        ([], "no records"),
    ):
        file.write_text("\n".join(json.dumps(row) for row in rows))
        with pytest.raises(DataError, match=said):
            from_llmrouterbench(file)
    file.write_text(json.dumps(flat("a", 0)) + "\n{")
    with pytest.raises(DataError, match="line 2"):
        from_llmrouterbench(file)


CLINC = {
    "train": [["book a flight", "book_flight"], ["fly me to Rome", "book_flight"], ["my balance", "balance"]],
    "val": [["Book a flight!", "book_flight"]],
    "test": [["what is my balance", "balance"], ["my  balance", "balance"]],
    "oos_train": [["sing a song", "oos"]],
    "oos_test": [["why is the sky blue", "oos"]],
}


def test_clinc_makes_an_agent_per_label_and_leaks_nothing(tmp_path):
    file = tmp_path / "data_full.json"
    file.write_text(json.dumps(CLINC))
    outcomes = from_clinc(file)
    assert outcomes.kind == "label" and outcomes.agents == ("balance", "book_flight")
    assert outcomes.pool["book_flight"].description == "Handles requests about: book flight."
    sides = dict(zip(outcomes.queries.text, outcomes.queries.split.tolist(), strict=True))
    assert sides == {
        "what is my balance": "test", "my  balance": "test", "why is the sky blue": "test",
        "Book a flight!": "val", "fly me to Rome": "train", "sing a song": "train",
    }  # fmt: skip
    assert not leaking(outcomes.queries).any()
    assert outcomes.out_of_scope.sum() == 2
    for data, said in (
        ({"a": 1}, "train"),
        ({"train": [["x"]]}, "row 0"),
        ({"oos_val": [["x", "oos"]]}, "label"),
    ):
        file.write_text(json.dumps(data))
        with pytest.raises(DataError, match=said):
            from_clinc(file)


def test_hotpotqa_in_both_forms(tmp_path):
    published = [
        {
            "_id": "1",
            "question": "Who?",
            "answer": "Ann",
            "context": [["T", ["One.", " Two."]], ["U", ["Three."]]],
        }
    ]
    hub = {"id": "2", "question": "Where?", "context": {"title": ["T"], "sentences": [["One.", " Two."]]}}
    file = tmp_path / "hotpot.json"
    file.write_text(json.dumps(published))
    queries = from_hotpotqa(file)
    assert queries.text == ("Who?",) and queries.gold == ("Ann",) and queries.metric == ("f1",)
    assert json.loads(queries.context[0]) == [
        {"title": "T", "text": "One. Two."},
        {"title": "U", "text": "Three."},
    ]
    lines = tmp_path / "hotpot.jsonl"
    lines.write_text(json.dumps(hub))
    assert from_hotpotqa(lines).gold == (None,)
    assert json.loads(from_hotpotqa(lines).context[0]) == [{"title": "T", "text": "One. Two."}]
    for data, said in (([], "non-empty"), ([{"question": ""}], "item 0"), (published * 2, "repeats"),
                       ([{"question": "q", "context": [1]}], "context")):  # fmt: skip
        file.write_text(json.dumps(data))
        with pytest.raises(DataError, match=said):
            from_hotpotqa(file)


def test_convert_writes_packs_that_load(tmp_path):
    sources = {
        "routerbench": write_csv(tmp_path / "rb.csv", ROUTERBENCH),
        "routellm": write_csv(tmp_path / "rl.csv", [{"prompt": "p", "w": True, "s": False}]),
        "llmrouterbench": tmp_path / "lrb.json",
        "clinc": tmp_path / "clinc.json",
        "hotpotqa": tmp_path / "hotpot.json",
    }
    assert set(sources) == set(CONVERTERS)
    sources["llmrouterbench"].write_text(json.dumps(result("m", [1, 0])))
    sources["clinc"].write_text(json.dumps(CLINC))
    sources["hotpotqa"].write_text(json.dumps([{"question": "q", "answer": "a", "context": []}]))
    for kind, source in sources.items():
        made = convert(kind, source, tmp_path / "packs" / kind)
        if isinstance(made, Outcomes):
            again = load_outcomes(tmp_path / "packs" / kind)
            assert again.fingerprint == made.fingerprint and again.kind == made.kind
        else:
            assert load_queries(tmp_path / "packs" / kind).text == made.text
    with pytest.raises(DataError, match="routerbench"):
        convert("mtbench", tmp_path, tmp_path / "x")
