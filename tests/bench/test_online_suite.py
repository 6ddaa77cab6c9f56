"""Suite ``online``: streams with bandit feedback."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from agentnet.bench.protocol import Lab
from agentnet.bench.suites import online, run_suite
from agentnet.bench.suites.online_measure import DRAWS, FLOOR, Bandit, Kind, World, play
from agentnet.bench.suites.online_report import markdown_table
from agentnet.bench.suites.online_table import Played, make_part
from agentnet.errors import DataError, InvalidInput
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.encoders import CachedEncoder, HashingEncoder
from agentnet.outcomes.packs import save_pack
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.decision import Feedback
from agentnet.routers.online import Served
from agentnet.routers.registry import make_router

WORDS = {
    "maths": ["equation", "root", "factor", "integral", "prime", "matrix"],
    "cooking": ["oven", "flour", "butter", "onion", "garlic", "dough"],
}


def planted(n: int = 600, *, shuffle: bool = False) -> Outcomes:
    """One agent is good at maths, one at cooking, one at neither."""
    rng = np.random.default_rng(0)
    topics = [list(WORDS)[i % 2] for i in range(n)]
    chance = np.array([[0.95, 0.2, 0.2] if topic == "maths" else [0.2, 0.9, 0.2] for topic in topics])
    score = (rng.random((n, 3)) < chance).astype(np.float32)
    if shuffle:
        score = score[rng.permutation(n)]
    queries = Queries(
        query_id=np.array([f"q{i:04}" for i in range(n)]),
        text=tuple(f"{' '.join(rng.choice(WORDS[topic], 5))} {i}" for i, topic in enumerate(topics)),
        split=np.array(["train"] * n),
        task=tuple(topics),
    )
    pool = Pool(Agent(name=str(i)) for i in range(3))
    return Outcomes(queries=queries, pool=pool, score=score, cost=np.full((n, 3), 1e-4))


@pytest.fixture(scope="module")
def lab() -> Lab:
    plain = HashingEncoder(64)
    return Lab(CachedEncoder(plain), plain)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("online")
    save_pack(planted(), folder / "pack")
    text = io.StringIO()
    found = run_suite(
        "online", data=[str(folder / "pack")], routers=["linucb"], seeds=1, out=folder / "out",
        command="agentnet bench run online", console=Console(file=text, width=80), encoder="hash:64",
    )  # fmt: skip
    return {"found": found, "text": text.getvalue(), "out": folder / "out"}


def test_results_page_and_tables_tell_the_same(results: dict[str, Any]) -> None:
    (pack,) = results["found"]["packs"]
    assert results["found"]["kind"] == "replayed" and results["found"]["orders"] == 4
    stored = json.loads((results["out"] / "results.json").read_text())
    assert stored["packs"][0]["parts"] == pack["parts"]
    html = (results["out"] / "report.html").read_text()
    everything, rest = pack["parts"]
    assert (everything["n"], rest["n"], pack["tuning"]["n"]) == (600, 400, 200)
    assert html.count("<svg") == 4 and "replayed" in html
    for row in everything["rows"]:
        assert row["name"].split(",")[0] in html and row["name"] in markdown_table(everything)
    assert max(map(len, results["text"].splitlines())) <= 80
    assert "best contextual bandit by tuning" in results["text"]


def test_a_contextual_bandit_wins_where_context_matters(results: dict[str, Any]) -> None:
    part = results["found"]["packs"][0]["parts"][0]
    assert part["verdict"]["bandit"].startswith("linucb, ")
    assert part["verdict"]["regret_vs_free"]["holds"] and part["verdict"]["last_vs_single"]["holds"]
    rows = {row["name"]: row for row in part["rows"]}
    single, random = rows["best single, in hindsight"], rows["random"]
    assert single["last_vs_single"]["mean"] == 0 and random["regret"]["mean"] > single["regret"]["mean"]
    for row in part["rows"]:
        rounds, regret = zip(*row["curve"], strict=True)
        assert rounds[0] == 1 and rounds[-1] == part["n"] and list(regret) == sorted(regret)
        assert regret[-1] == pytest.approx(row["regret"]["mean"])
        assert row["regret"]["mean"] == pytest.approx(part["n"] * (part["oracle"] - row["score"]["mean"]))


def test_every_bandit_is_tuned_on_as_many_settings(results: dict[str, Any]) -> None:
    tuning = results["found"]["packs"][0]["tuning"]
    assert {len(list(online.settings_of(bandit))) for bandit in online.BANDITS} == {6}
    for found in tuning["bandits"]:
        scores = [tried["score"] for tried in found["tried"]]
        assert len(scores) == 6 and found["score"] == max(scores)


def test_scores_that_mean_nothing_give_no_gain(lab: Lab) -> None:
    world = online.world_of(lab, planted(shuffle=True))
    bandit = Bandit(kind="linucb", features="agentnet", setting={"alpha": 0.3})
    (order,) = online.streams_of(600, 1)
    chosen, _ = play(world, bandit, order, seed=0)
    assert world.score[order, chosen][-200:].mean() < world.score.mean(0).max() + 0.08


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        ("linucb", {"alpha": 0.3}),
        ("thompson", {"width": 0.3}),
        ("eps_greedy", {"epsilon": 0.5, "halving": 50.0}),
    ],
)
def test_what_is_played_is_what_the_router_does(lab: Lab, kind: Kind, setting: dict[str, float]) -> None:
    """Told the same choices and scores, router and suite have the same probabilities, round for round."""
    table = planted(170)
    world = online.world_of(lab, table)
    order = np.random.default_rng(5).permutation(170)
    chosen, chance = play(world, Bandit(kind=kind, features="agentnet", setting=setting), order, seed=4)
    router: Any = make_router(kind, **setting, floor=FLOOR, budget=None, seed=4)
    assert getattr(router, "draws", DRAWS) == DRAWS
    router.use_encoder(lab.encoder)
    tasks = table.tasks()
    for t, row in enumerate(order):
        scores = router.score_batch([tasks[row]], table.pool)
        told = router.chances([tasks[row]], table.pool, scores, router.options)[0]
        assert told[chosen[t]] == pytest.approx(chance[t], abs=1e-6), t
        decision = router.route(tasks[row], table.pool)
        one = Served.of(Feedback(text="", decision=decision, score=float(world.score[row, chosen[t]])))
        name = str(chosen[t])
        router.learn([replace(one, evidence={**one.evidence, "agent": name}, ran=(name,))])
    assert not router.belief.warming


def test_scores_may_come_late_and_the_budget_binds(lab: Lab) -> None:
    world = online.world_of(lab, planted())
    order = np.arange(600)
    wild = Bandit(kind="eps_greedy", features="none", setting={"epsilon": 1.0, "halving": None})
    late, _ = play(world, wild.with_(setting={"epsilon": 0.1, "halving": None}, every=50), order, seed=0)
    assert np.bincount(late, minlength=3).max() > 400
    _, free = play(world, wild, order, seed=0)
    _, bound = play(world, wild.with_(budget=1e-4), order, seed=0)
    assert (free < 0.4).all() and (bound[-300:] > 0.9).mean() > 0.9


def test_regret_and_curve_of_a_stream_worked_out_by_hand() -> None:
    score = np.array([[1.0, 0.0], [0.0, 0.5], [1.0, 1.0], [0.0, 0.0]])
    world = World(score=score, looks={}, labels=np.array([0, 1, 0, 1]))
    free = Bandit(kind="eps_greedy", features="none")
    always = [np.array([[1.0, 0.0, 1.0, 0.0]]), np.array([[1.0, 0.5, 1.0, 0.0]])]
    played = [Played(free, always[0]), Played(free.with_(kind="linucb"), always[1])]
    part = make_part(
        "x", world, [np.arange(4)], played, [], last=2, offline=np.array([0.5]), best=1
    )  # fmt: skip
    first, second = part["rows"][3:]
    assert [value for _, value in first["curve"]] == [0.0, 0.5, 0.5, 0.5]
    assert second["regret"]["mean"] == 0.0 and second["regret_vs_free"]["mean"] == -0.5
    assert part["rows"][2]["score"]["mean"] == second["score"]["mean"], "the best agent of each label"
    assert part["verdict"]["regret_vs_free"]["holds"] and part["verdict"]["last_vs_offline"]["mean"] == 0.0


def test_what_cannot_be_played_is_refused(tmp_path: Path) -> None:
    table = planted(30)
    holes = np.where(np.arange(30)[:, None] == 3, np.float32(np.nan), table.score)
    save_pack(replace(table, score=holes), tmp_path / "holes")

    def play_pack(**settings: Any) -> None:
        given: dict[str, Any] = {"data": [str(tmp_path / "holes")], "routers": None, **settings}
        run_suite("online", seeds=1, out=tmp_path / "out", command="", encoder="hash:64", **given)

    with pytest.raises(DataError, match="full matrix"):
        play_pack()
    with pytest.raises(InvalidInput, match="plays eps_greedy, linucb, thompson; got knn"):
        play_pack(routers=["knn"])
