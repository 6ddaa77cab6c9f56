from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from agentnet.bench.protocol import Entry, Lab, compact
from agentnet.bench.suites import run_suite
from agentnet.bench.suites.entries import entries_of, registered
from agentnet.bench.suites.onboarding import run_part
from agentnet.bench.suites.onboarding_measure import PROBES, Measured, on_test
from agentnet.bench.suites.onboarding_report import markdown_agents, markdown_table
from agentnet.bench.suites.onboarding_table import recovery
from agentnet.errors import DataError, InvalidInput, UnknownRouter
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.encoders import CachedEncoder, HashingEncoder
from agentnet.outcomes.packs import save_pack
from agentnet.outcomes.table import Outcomes, Queries

WORDS = {
    "maths": ["equation", "root", "factor", "integral", "prime", "matrix"],
    "cooking": ["oven", "flour", "butter", "onion", "garlic", "dough"],
    "sports": ["goal", "referee", "sprint", "medal", "league", "coach"],
}
AGENTS = ("all-round", "mathematician", "useless")
CHANCE = {"maths": [0.3, 0.95, 0.05], "cooking": [0.7, 0.2, 0.05], "sports": [0.7, 0.2, 0.05]}


def planted(n: int = 600, seed: int = 0) -> Outcomes:
    """On a third of the queries, easily told from the others, one agent is right where no other is."""
    rng = np.random.default_rng(seed)
    topics = [list(WORDS)[i % 3] for i in range(n)]
    score = np.array([rng.random(3) < CHANCE[topic] for topic in topics], np.float32)
    queries = Queries(
        query_id=np.array([f"q{i:03}" for i in range(n)]),
        text=tuple(f"{' '.join(rng.choice(WORDS[topic], 4))} {i}" for i, topic in enumerate(topics)),
        split=np.array([("train", "train", "train", "val", "test")[i // 3 % 5] for i in range(n)]),
        task=tuple(topics),
    )
    pool = Pool(Agent(name=name, description=f"a model, {name}") for name in AGENTS)
    return Outcomes(queries=queries, pool=pool, score=score, cost=np.full((n, 3), 1e-4))


@pytest.fixture(scope="module")
def lab() -> Lab:
    plain = HashingEncoder(128)
    return Lab(CachedEncoder(plain), plain)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("onboarding")
    save_pack(planted(), folder / "pack")
    text = io.StringIO()
    run_suite(
        "onboarding",
        data=[str(folder / "pack")],
        routers=["kmeans", "amro_s"],
        seeds=1,
        out=folder / "out",
        command="agentnet bench run onboarding --data pack",
        console=Console(file=text, width=80),
        encoder="hash:128",
    )

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} in results.json")

    found: dict = json.loads((folder / "out" / "results.json").read_text(), parse_constant=refuse)
    return found | {"page": (folder / "out" / "report.html").read_text(), "text": text.getvalue()}


def test_recovery_rises_with_probes_of_an_agent_worth_having(results: dict) -> None:
    (pack,) = results["packs"]
    assert [part["split"] for part in pack["parts"]] == ["test", "cross-fitted"]
    for part, n in zip(pack["parts"], (120, 600), strict=True):
        kmeans = part["routers"][0]
        found = kmeans["lists"]["inside"]
        assert "mathematician" in found["agents"] and found["worth"] > 0.1
        by_probes = {row["probes"]: row for row in found["probes"]}
        assert list(by_probes) == [0, 5, 20, 100]
        recovered = [by_probes[k]["by_agent"]["mathematician"] for k in PROBES]
        assert recovered[3] > 0.7 and recovered[3] > recovered[1] and recovered[3] > recovered[0]
        for row in found["probes"]:
            for key in ("gain", "recovery", "pooled"):
                assert row[f"{key}_ci"][0] <= row[key] <= row[f"{key}_ci"][1]
        assert part["n"] == n == len(kmeans["per_query"])


def test_a_useless_agent_is_not_counted(results: dict) -> None:
    for part in results["packs"][0]["parts"]:
        kmeans = part["routers"][0]
        for chosen in ("inside", "evaluated"):
            assert "useless" not in kmeans["lists"][chosen]["agents"]
        useless = next(agent for agent in kmeans["agents"] if agent["agent"] == "useless")
        assert useless["absence_inside"] < 0.01 and useless["counted_share"] == 0


def test_figures_follow_from_the_per_query_rows(results: dict) -> None:
    kmeans = results["packs"][0]["parts"][0]["routers"][0]
    rows = kmeans["per_query"]
    full = np.array([row["full"] for row in rows])
    cells = np.array([row["left_out"]["mathematician"] for row in rows])
    worth = (full - cells[:, 0]).mean()
    expected = [(cells[:, 1 + at] - cells[:, 0]).mean() / worth for at in range(len(PROBES))]
    found = [row["by_agent"]["mathematician"] for row in kmeans["lists"]["inside"]["probes"]]
    assert found == pytest.approx(expected, abs=1e-3)


def test_a_router_that_takes_no_probes_is_listed_as_such(results: dict) -> None:
    for part in results["packs"][0]["parts"]:
        row = part["routers"][1]
        labels = [entry["router"] for entry in part["routers"]]
        assert labels == ["kmeans", "amro_s"] and not row["takes_probes"]
        assert "takes no probes" in row["reason"]
    assert "takes no probes" in results["page"] and "takes no probes" in results["text"]


def test_tables_and_page_say_the_same(results: dict) -> None:
    part = results["packs"][0]["parts"][0]
    lines = markdown_table(part).splitlines()
    assert len(lines) == 2 + len(PROBES) + 1 and len({line.count("|") for line in lines}) == 1
    agents = markdown_agents(part["routers"][0], part["probes"])
    assert "mathematician *" in agents and "useless *" not in agents
    page = results["page"]
    assert page.count("<svg") == 4 and "mathematician" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    lines = [line.rstrip() for line in results["text"].splitlines() if "/" not in line]
    assert max(map(len, lines)) <= 80


def test_which_agents_count_is_not_decided_by_the_evaluated_rows(lab: Lab) -> None:
    table = planted(300)
    score = table.score.copy()
    test = table.queries.split == "test"
    score[test] = 1 - score[test]
    entry = Entry("kmeans", "kmeans", {"clusters": 4, "nearest": 1, "temperature": 0.0, "shrink": 0.1})
    honest = on_test(lab, entry, table, [0])
    blind = on_test(lab, entry, replace(table, score=score), [0])
    assert np.array_equal(honest.counted, blind.counted) and honest.counted.any()
    assert np.array_equal(honest.inside, blind.inside)
    assert not np.array_equal(honest.absence >= 0.01, blind.absence >= 0.01)


def test_another_router_can_say_which_agents_count(lab: Lab) -> None:
    table = planted(300)
    entry = Entry("kmeans", "kmeans", {"clusters": 4, "nearest": 1, "temperature": 0.0, "shrink": 0.1})
    part = run_part(lab, table, [entry], 1, crossed=False, counted_by=entry)
    (router,) = part["routers"]
    assert list(part["lists"]) == ["inside"] == list(router["lists"])
    agents = [agent["agent"] for agent in router["agents"]]
    assert "mathematician" in agents and "useless" not in agents
    assert router["lists"]["inside"]["agents"] == agents
    assert set(router["per_query"][0]["left_out"]) == set(agents)
    constant = run_part(lab, table, [entry], 1, crossed=False, counted_by=Entry.of("cheapest"))
    (none,) = constant["routers"]  # whatever is left out, the cheapest costs and scores by its own
    assert set(none["lists"]["inside"]["agents"]) <= {"all-round"}
    alike = replace(table, score=np.ones_like(table.score))
    (empty,) = run_part(lab, alike, [entry], 1, crossed=False, counted_by=entry)["routers"]
    assert empty["agents"] == [] == empty["lists"]["inside"]["agents"] and empty["score"] == 1
    assert "no agent counts" in markdown_table({"routers": [empty]})


def test_recovery_is_the_mean_of_quotients_and_pooled_the_quotient_of_sums() -> None:
    n = 40
    worth = np.array([0.4, 0.1])
    without = np.zeros((2, n))
    shares = np.array([[0.0, 0.5, 1.0, 1.0], [0.0, 0.0, 0.5, 1.0]])
    full = np.zeros(n)
    found = Measured(
        label="x",
        agents=("a", "b"),
        query_ids=tuple(map(str, range(n))),
        seeds=1,
        full=full,
        without=without - worth[:, None],
        probed=(shares * worth[:, None])[..., None] - worth[:, None, None] + np.zeros((2, 4, n)),
        by_draw=np.zeros((2, 4, 5)),
        inside=worth,
        counted=np.ones((2, n), bool),
    )
    rows = recovery(found, found.counted)["probes"]
    assert [row["recovery"] for row in rows] == pytest.approx([0, 0.25, 0.75, 1])
    assert [row["pooled"] for row in rows] == pytest.approx([0, 0.4, 0.9, 1])
    assert [row["gain"] for row in rows] == pytest.approx([0, 0.1, 0.225, 0.25])
    assert recovery(found, np.zeros((2, n), bool))["agents"] == []


def test_noise_has_no_agent_that_counts_for_sure(lab: Lab) -> None:
    """Where nothing can be told apart, no interval of a gain leaves zero out on its good side."""
    rng = np.random.default_rng(5)
    table = planted(300)
    noise = replace(table, score=(rng.random(table.score.shape) < 0.5).astype(np.float32))
    part = run_part(lab, compact(noise), [Entry.of("knn")], 1, crossed=False)
    found = part["routers"][0]["lists"]["inside"]
    assert all(row["gain_ci"][0] <= 0.02 for row in found["probes"])


def test_bad_requests_are_refused_before_any_work(tmp_path: Path) -> None:
    def run(*routers: str, data: str = "nowhere", rows: str = "auto") -> None:
        run_suite(
            "onboarding", data=[data], routers=routers or None, seeds=1, out=tmp_path / "out", command="",
            encoder="hash:32", rows=rows,
        )  # fmt: skip

    with pytest.raises(UnknownRouter, match="nonsense"):
        run("nonsense")
    with pytest.raises(InvalidInput, match="oracle"):
        run("oracle")
    with pytest.raises(InvalidInput, match="rows is one of"):
        run("knn", rows="all")
    with pytest.raises(DataError, match="holds no data pack"):
        run("knn")
    table = planted(30)
    save_pack(table.for_pool(table.pool.remove("useless")), tmp_path / "two")
    with pytest.raises(DataError, match="needs three"):
        run("knn", data=str(tmp_path / "two"))
    with pytest.raises(InvalidInput, match="no choice of rows"):
        run_suite("paths", data=[], routers=None, seeds=1, out=tmp_path, command="", rows="test")
    with pytest.raises(InvalidInput, match="counts no agents"):
        run_suite("paths", data=[], routers=None, seeds=1, out=tmp_path, command="", counted_by="knn")
    assert not (tmp_path / "out").exists()


def test_entries_are_found_by_label_and_by_router() -> None:
    known = [
        Entry("knn of five", "knn", {"k": 5}),
        Entry("knn of ten", "knn", {"k": 10}),
        Entry("x", "planned"),
    ]
    assert [entry.label for entry in registered(known)] == ["knn of five", "knn of ten"]
    assert [entry.label for entry in entries_of(["knn"], known)] == ["knn of five", "knn of ten"]
    assert [entry.label for entry in entries_of(["knn of ten", "kmeans"], known)] == ["knn of ten", "kmeans"]
    assert entries_of(None, known) == known
