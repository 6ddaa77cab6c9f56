from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from agentnet.bench.protocol import Entry
from agentnet.bench.society import Society
from agentnet.bench.suites import run_suite, topology
from agentnet.bench.suites import topology_replayed as replayed
from agentnet.bench.suites.common import make_lab
from agentnet.bench.suites.topology_figures import Figure
from agentnet.bench.suites.topology_live import COLUMNS, EQUAL, SINGLE, Line
from agentnet.bench.suites.topology_live_tables import BOTH, report, token_ratio
from agentnet.bench.suites.topology_log import LogEnvironments
from agentnet.bench.suites.topology_plan import COMPLETE, OURS, PAPER, REFITS, Size, epochs_entry, plan
from agentnet.bench.suites.topology_simulated import report as simulated_report
from agentnet.bench.suites.topology_subsets import search, table_of
from agentnet.bench.suites.topology_worlds import BEST, ONE_GRAPH, Job, Sheet, Shelf, World, run_job
from agentnet.errors import DataError, InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.encoders import make_encoder
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.plans import AnswerTable, Plan
from agentnet.routers.registry import make_router

SINGLE_AGENT = Entry("single", "topology", {"method": "single"})


def recorded(n: int = 100, agents: int = 4) -> Outcomes:
    """Agents of falling quality and price; wrong answers differ, and some agents say nothing at times."""
    rng = np.random.default_rng(0)
    score = (rng.random((n, agents)) < np.linspace(0.8, 0.5, agents)).astype(np.float32)
    response = np.full((n, agents), None, object)
    for i in range(n):
        for j in range(agents):
            wrong = "" if rng.random() < 0.2 else f"no {rng.integers(3)}"
            response[i, j] = "yes" if score[i, j] else wrong
    queries = Queries(
        query_id=np.array([f"q{i:03}" for i in range(n)]),
        text=tuple(f"question {i % 7} of {rng.integers(1000)}" for i in range(n)),
        split=np.array([("train", "train", "train", "val", "test")[i % 5] for i in range(n)]),
        task=("t",) * n,
        gold=("yes",) * n,
        metric=("exact_match",) * n,
    )
    pool = Pool(Agent(name=f"a{j}", description=f"agent {j}") for j in range(agents))
    cost = np.tile(np.geomspace(8e-3, 1e-3, agents), (n, 1))
    return Outcomes(queries=queries, pool=pool, score=score, cost=cost, response=response)


def sheet(world: World, label: str, score: float, tokens: float, state: str = "", best: float = 1.0) -> Sheet:
    """A sheet of two tasks whose mean score and value are the one given."""
    pair = (score - 0.1, score + 0.1)
    return Sheet(
        world=world, label=label, state=state, score=pair, tokens=(tokens, tokens), value=pair,
        best=(best, best), agents=(2, 2), edges=(1, 1),
    )  # fmt: skip


# -- fixed subsets -----------------------------------------------------------------------------------------
def test_subsets_are_judged_as_a_replayed_vote_would_be() -> None:
    table = table_of(recorded())
    found = search(table, largest=4)
    assert len(found.members) == 15
    for row in range(15):
        assert found.score[row] == pytest.approx(table.measure(found.plan(row)).score, abs=1e-6)


def test_beyond_the_exhausted_sizes_larger_subsets_are_tried_too() -> None:
    found = search(table_of(recorded()), largest=2, beam=4)
    assert set(found.members.sum(1).tolist()) == {1, 2, 3, 4}
    assert len({row.tobytes() for row in found.members}) == len(found.members)


def test_best_subset_stays_within_the_budget() -> None:
    found = search(table_of(recorded()))
    cost = np.array([8.0, 4.0, 2.0, 1.0])
    for budget in (1.0, 3.0, 7.0, 20.0):
        best = found.best(cost, budget)
        allowed = [r for r in range(len(found.members)) if found.members[r] @ cost <= budget]
        assert best in allowed
        assert found.score[best] == max(found.score[r] for r in allowed)
    assert found.members[found.best(cost, 0.5)].tolist() == [False, False, False, True]


def test_subsets_need_every_answer() -> None:
    outcomes = recorded()
    assert outcomes.response is not None
    outcomes.response[3, 1] = None
    with pytest.raises(DataError, match="every agent on every query"):
        table_of(outcomes)


# -- replayed ----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def part() -> dict:
    entries = [Entry("agp", "agp", {"recipe": "paper"}), Entry.of("vote"), Entry.of("cascade")]
    said: list[str] = []
    found = replayed.run("pack", recorded(), entries, 1, make_lab("hash:64", None), said.append)
    assert any("fold 5" in text for text in said)
    return found


def test_replayed_part_compares_at_equal_or_lower_cost(part: dict) -> None:
    assert part["kind"] == "replayed"
    [made] = [t for t in part["tables"] if t["title"].startswith("agp against")]
    cheapest = 1e-3 * 1000
    for row in made["figures"]:
        allowed = max(row["$ / 1k"], cheapest)
        assert row["subset $ / 1k"] <= allowed * (1 + 1e-9)
        assert row["difference"]["n"] == 100
        low, high = row["at once"]["ci"]
        assert low <= row["difference"]["mean"] <= high
    assert part["verdicts"]["agp"] == made["note"]
    assert all("(replayed)" in item["title"] for item in (*part["tables"], *part["plots"]))


def test_replayed_part_keeps_what_every_query_came_to(part: dict) -> None:
    per_query = part["per_query"]
    assert per_query["query_id"] == recorded().queries.query_id.tolist()
    level = per_query["levels"]["agp"][0]
    [made] = [t for t in part["tables"] if t["title"].startswith("agp against")]
    assert np.mean(level["score"]) == pytest.approx(made["figures"][0]["accuracy"]["mean"])
    assert np.mean(level["subset_score"]) == pytest.approx(made["figures"][0]["subset accuracy"], abs=1e-4)


def test_full_ensemble_is_the_vote_of_everybody(part: dict) -> None:
    [made] = [t for t in part["tables"] if t["title"].startswith("Quality only")]
    rows = {row["router"]: row for row in made["figures"]}
    assert rows[replayed.EVERYBODY]["agents run"] == 4
    assert rows[replayed.EVERYBODY]["$ / 1k"] == pytest.approx(1000 * np.geomspace(8e-3, 1e-3, 4).sum())


def test_interval_for_all_columns_is_wider_than_for_one() -> None:
    differences = np.random.default_rng(0).normal(0, 1, (200, 8))
    half = replayed.simultaneous(differences)
    alone = [Figure.of(column) for column in differences.T]
    assert all(h > (a.high - a.low) / 2 for h, a in zip(half, alone, strict=True))


def test_verdict_names_the_levels_on_each_side() -> None:
    up, down = Figure(0.1, 0.05, 0.2, 9), Figure(-0.1, -0.2, -0.05, 9)
    rows = [{"dial": 0.0, "difference": up, "at once": up}, {"dial": 0.5, "difference": down, "at once": up}]
    told = replayed.verdict_of("agp", rows)
    assert "at 1 (0), below at 1 (0.5)" in told and "above at 2 (0, 0.5), below at 0" in told


def test_settings_that_decide_alike_are_one_level() -> None:
    one = {key: np.ones(3) for key in replayed._COLUMNS}
    other = one | {"score": np.zeros(3)}
    levels = [replayed.Level(dial=d, **c) for d, c in ((0.0, one), (0.1, one), (0.2, other))]
    assert [level.dial for level in replayed.distinct(levels)] == [0.0, 0.2]


# -- simulated ---------------------------------------------------------------------------------------------
def test_no_way_to_choose_is_worth_more_than_the_best_topology() -> None:
    sheets = run_job(Job(world=World(seed=0), entry=Entry("c", "topology", {"method": "complete"})), 60)
    by = {one.label: one for one in sheets}
    assert by["c"].agents == (9,) * 12 and by["c"].edges == (36,) * 12
    assert all(a <= b + 1e-4 for a, b in zip(by["c"].value, by["c"].best, strict=True))
    assert by[BEST].value == pytest.approx(by[BEST].best, abs=1e-4)
    assert by["c"].mean("tokens") > by[BEST].mean("tokens")


def test_turned_agent_is_the_one_kept_and_a_refit_sees_the_new_state() -> None:
    sheets = run_job(Job(world=World(seed=0), entry=SINGLE_AGENT, refits=(80,)), 100)
    by = {(one.label, one.state): one for one in sheets}
    before, after = by["single", ""], by["single", "right after"]
    again = by["single", "refitted on 80"]
    assert after.mean("score") < before.mean("score") - 0.2
    assert again.mean("score") > after.mean("score") + 0.2
    assert again.best == after.best == by[BEST, "right after"].best


def test_one_graph_for_all_is_one_graph() -> None:
    entry = Entry("agp", "agp", {"recipe": "paper", "steps": 2})
    sheets = {one.label: one for one in run_job(Job(world=World(seed=0), entry=entry), 120)}
    fixed = sheets[f"agp, {ONE_GRAPH}"]
    assert len(set(fixed.agents)) == len(set(fixed.edges)) == 1
    assert sheets["agp"].seconds > 0


def test_shelf_runs_nothing_twice(tmp_path: Path) -> None:
    shelf, job = Shelf(tmp_path), Job(world=World(seed=1), entry=SINGLE_AGENT)
    made = shelf.run(job, 40)
    assert Shelf(tmp_path).get(job) == made
    other = [sheet(World(seed=1), "told", 0.5, 1.0)]
    shelf.put(job, other)
    assert shelf.run(job, 40) == other
    assert shelf.get(Job(world=World(seed=1, shuffled=True), entry=SINGLE_AGENT)) is None


def test_jobs_have_keys_of_their_own() -> None:
    jobs = plan(Size())
    assert len({job.key for job in jobs}) == len(jobs)
    mixed = {job.world.seed for job in jobs if job.world.kind == "mixed"}
    assert mixed == set(range(1000, 1020))


def test_simulated_tables_pair_societies() -> None:
    size = Size(first=0, societies=2, adversaries=2, shuffled=2, turned=2)
    sheets = []
    for seed in range(2):
        world = World(seed=seed)
        shift = 0.1 * seed
        sheets += [
            sheet(world, OURS.label, 0.8 + shift, 10),
            sheet(world, f"{OURS.label}, {ONE_GRAPH}", 0.7 + shift, 10),
            sheet(world, COMPLETE.label, 0.5 + shift, 200),
            sheet(world, BEST, 0.9 + shift, 9 if seed else 50),
            sheet(world, OURS.label, 0.4, 10, "right after"),
            sheet(world, BEST, 0.9, 10, "right after"),
            sheet(world, OURS.label, 0.7, 10, f"refitted on {REFITS[0]}"),
        ]
        mixed = World(seed=seed, shuffled=True)
        sheets += [sheet(mixed, OURS.label, 0.6, 10), sheet(mixed, f"{OURS.label}, {ONE_GRAPH}", 0.6, 10)]
        for count, right in ((0, 0.9), (2, 0.8)):
            sheets.append(
                sheet(World(seed=seed, kind="adversarial", adversaries=count), OURS.label, right, 9)
            )
    found = simulated_report(sheets, size)
    assert found["kind"] == "simulated"
    assert all("(simulated)" in made["title"] for made in found["tables"])
    by = {made["title"].removesuffix(" (simulated)"): made["figures"] for made in found["tables"]}
    ours = next(row for row in by["Societies"] if row["router"] == OURS.label)
    # Paired: the society's own level is no part of the interval.
    assert ours["value - complete"]["ci"] == pytest.approx([0.3, 0.3])
    assert ours["saved of complete"] == "95.0%"
    assert by["Nearly all tokens saved"] == [{"router": OURS.label, "societies": 1, "done in": 1}]
    lost = next(row for row in by["Adversaries among nine agents"] if row["adversaries"] == 2)
    assert lost["points lost"]["mean"] == pytest.approx(10)
    plain, shuffled = by["Does it read the task?"]
    assert (plain["interval"], shuffled["interval"]) == ("above", "not told apart")
    states = [row["state"] for row in by["An agent turns bad"]]
    assert states == ["before", "right after", f"refitted on {REFITS[0]}"]


def test_learning_curve_is_of_the_same_societies_throughout() -> None:
    worlds = [World(seed=seed) for seed in range(2)]
    sheets = [sheet(w, e.label, 0.8, 1) for w in worlds for e in (OURS, *map(epochs_entry, (1, 5, 20)))]
    none = "agp, no Stage II network"
    found = simulated_report([*sheets, sheet(worlds[0], none, 0.5, 1)], Size(first=0, societies=2))
    [drawn] = found["plots"]
    [line] = drawn["series"]
    assert line["name"].endswith("(1 societies)")
    assert [x for x, _ in line["points"]] == [0.0, 1.0, 5.0, 20.0, 60.0]


# -- live --------------------------------------------------------------------------------------------------
def line(label: str, pool: str, score: list[float], tokens: float) -> Line:
    n = len(score)
    columns = {key: np.full(n, tokens / 2) for key in COLUMNS} | {"score": np.array(score)}
    return Line(label, pool, 1, tuple(f"{pool}{i}" for i in range(n)), columns, ("x",) * n)


def test_live_tables_compare_task_by_task_and_join_pools() -> None:
    lines = [
        *(line("agp, dial 0", pool, [1.0, 1.0, 1.0, 0.0], 10) for pool in ("p", "q")),
        *(line("complete", pool, [0.0, 0.0, 0.0, 0.0], 40) for pool in ("p", "q")),
        line(SINGLE, "p", [1.0, 1.0, 1.0, 0.0], 5),
        line(EQUAL, "p", [0.0, 1.0, 1.0, 0.0], 40),
    ]
    found = report(lines)
    assert all("(live)" in made["title"] for made in (*found["tables"], *found["plots"]))
    tables = {made["title"]: made["figures"] for made in found["tables"]}
    rows = {row["rival"]: row for row in tables["p: agp against others (live)"]}
    assert rows["complete"]["excludes zero"] == "yes, above"
    assert rows[SINGLE]["excludes zero"] == "no"
    assert rows["complete"]["tokens saved"] == "75.0%"
    both = {row["method"]: row["tasks"] for row in tables[f"{BOTH}: all methods (live)"]}
    assert both == {"agp, dial 0": 8, "complete": 8}


def test_token_ratio_is_of_means_and_leaves_unknown_out() -> None:
    ratio = token_ratio(np.array([1.0, 3.0, np.nan]), np.array([2.0, 2.0, 2.0]))
    assert (ratio.mean, ratio.n) == (1.0, 2)
    assert ratio.low < 1 < ratio.high


def test_learned_rivals_get_an_environment_made_of_the_log() -> None:
    society = Society.draw(0)
    outcomes = society.log(society.outcomes(60), runs=4)
    environments = LogEnvironments(make_encoder("hash:64"))
    env = environments.factory(0)(outcomes, society.pool)
    assert (env.n, env.agents) == (60, society.agents)
    returns = env.run(
        torch.arange(2), society.best(0, 0).graphs.take(torch.tensor([0, 0])), torch.Generator()
    )
    assert bool((returns.score >= 0).all()) and bool((returns.cost > 0).all())
    router = make_router("topology", method="gptswarm", steps=2)
    router.use_environment(environments.factory(0))
    assert router.fit(outcomes, society.pool).notes == ()


def test_log_without_graphs_is_no_environment() -> None:
    society = Society.draw(0)
    with pytest.raises(DataError, match="too few judged runs"):
        LogEnvironments(make_encoder("hash:64")).factory(0)(society.outcomes(20), society.pool)


# -- the suite ---------------------------------------------------------------------------------------------
def test_suite_goes_on_with_what_was_simulated_and_writes_its_page(tmp_path: Path) -> None:
    size = Size(
        first=0, societies=1, no_pruning=0, adversaries=0, shuffled=0, turned=0, ablations=0, epochs=0
    )
    shelf = Shelf(tmp_path / "simulated")
    for job in plan(size):
        shelf.put(job, [sheet(job.world, job.entry.label, 0.5, 10), sheet(job.world, BEST, 0.6, 9)])
    text = io.StringIO()
    results = topology.run(
        data=[], routers=None, seeds=1, out=tmp_path, command="bench run topology", encoder="hash:64",
        console=Console(file=text, width=100), parts=["simulated"], size=size,
    )  # fmt: skip
    assert results["replayed"] == [] and results["live"] is None
    written = json.loads((tmp_path / "results.json").read_text())
    labels = {row["label"] for row in written["simulated"]["per_query"]}
    assert {OURS.label, PAPER.label, COMPLETE.label, BEST} <= labels
    page = (tmp_path / "report.html").read_text()
    assert "Societies (simulated)" in page and "<script" not in page
    assert "Societies (simulated)" in text.getvalue()
    assert max(map(len, text.getvalue().splitlines())) <= 100


def test_parts_need_what_they_run_on(tmp_path: Path) -> None:
    def run(**further: object) -> None:
        run_suite("topology", data=[], routers=None, seeds=1, out=tmp_path, command="", **further)  # type: ignore[arg-type]

    with pytest.raises(InvalidInput, match="needs a pack"):
        run(recording={"parts": ["replayed"]})
    with pytest.raises(InvalidInput, match="--traces"):
        run(recording={"parts": ["live"]})
    with pytest.raises(InvalidInput, match="no part 'dreamt'"):
        run(recording={"parts": ["dreamt"]})
    with pytest.raises(InvalidInput, match="nothing to run"):
        run(simulated=False)
    with pytest.raises(InvalidInput, match="no setting ablations"):
        run(recording={"ablations": False})
    with pytest.raises(DataError, match="holds no recording"):
        run(recording={"parts": ["live"], "traces": str(tmp_path)})


def test_other_suites_need_a_pack(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="needs a pack"):
        run_suite("routing", data=[], routers=None, seeds=1, out=tmp_path, command="")


def test_plan_of_a_subset_asks_the_best_voter_first() -> None:
    outcomes = recorded()
    found = search(AnswerTable.of(outcomes) or pytest.fail("answers are complete"))
    plan_of_all = found.plan(int(found.members.sum(1).argmax()))
    assert isinstance(plan_of_all, Plan)
    scores = dict(zip(outcomes.agents, outcomes.score.mean(0).tolist(), strict=True))
    order = [scores[name] for name in plan_of_all.agents]
    assert order == sorted(order, reverse=True)
