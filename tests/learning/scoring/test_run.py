"""Scoring recorded runs: as a stream, once each, within a budget."""

from __future__ import annotations

import asyncio
import sys
import types
from decimal import Decimal
from typing import Any

import pytest

from agentnet.errors import BackendError, InvalidInput, RunError, UnpricedCall
from agentnet.graphs.agent import Backend
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import Limits
from agentnet.learning.judges import Verdict
from agentnet.learning.llm_judge import LLMJudge
from agentnet.learning.scoring.run import ascore_traces, score_traces
from agentnet.learning.scoring.scorers import GoldScorer, JudgeScorer, VerifierScorer, load_scorer
from agentnet.runtime.limits import Ledger, LimitedClient
from agentnet.testing import ScriptedClient
from agentnet.traces.export import to_outcomes
from agentnet.traces.records import OutcomeRecord, RunRecord, StepRecord
from agentnet.traces.store import TraceStore

from .runs import fill, run_id

PRICED = Backend(name="b", model="test/judge", price_in_per_mtok="1", price_out_per_mtok="1")


def outcomes(store: TraceStore) -> list[OutcomeRecord]:
    return [record for _, record in store.outcomes_after()]


def judge(
    script: Any, backend: Backend = PRICED, usd: str | None = None
) -> tuple[JudgeScorer, ScriptedClient]:
    client = ScriptedClient(script)
    limited = LimitedClient(client, Ledger(Limits(usd=None if usd is None else Decimal(usd)), name="scoring"))
    return JudgeScorer(LLMJudge(backend, limited, max_tokens=8)), client


def test_gold_scores_each_answer_once(store: TraceStore) -> None:
    fill(store, ["4", "5", "four", None])
    first = score_traces(store, GoldScorer(), clock=lambda: 7.0)
    assert (first.scored, first.accepted, first.mean, first.failed_runs) == (3, 1, pytest.approx(1 / 3), 1)
    second = score_traces(store, GoldScorer())
    assert (second.scored, second.already) == (0, 0)  # they are not even read
    assert [item.score for item in outcomes(store)] == [1.0, 0.0, 0.0]
    assert {(item.judge, item.judged_at, item.step_seq) for item in outcomes(store)} == {
        ("verifier:gold", 7.0, None)
    }


def test_new_runs_are_scored_and_old_ones_again_if_asked(store: TraceStore) -> None:
    fill(store, ["4", "5"])
    score_traces(store, GoldScorer(), clock=lambda: 1.0)
    fill(store, ["4", "5", "4"])
    assert score_traces(store, GoldScorer(), clock=lambda: 2.0).scored == 1
    assert score_traces(store, GoldScorer(), again=True, clock=lambda: 3.0).scored == 3
    assert len(outcomes(store)) == 6


def test_a_late_change_of_mind_counts_and_the_earlier_stays(store: TraceStore) -> None:
    fill(store, ["4"])
    verdicts = iter([0.0, 1.0])
    scorer = VerifierScorer(lambda task, answer: next(verdicts), name="moody")
    score_traces(store, scorer, clock=lambda: 1.0)
    score_traces(store, scorer, again=True, clock=lambda: 2.0)
    assert [item.score for item in outcomes(store)] == [0.0, 1.0]
    assert to_outcomes(store).score.tolist() == [[1.0]]


def test_weights_say_how_much_a_judge_counts_beside_others(store: TraceStore) -> None:
    fill(store, ["5"])
    score_traces(store, GoldScorer(), weight=3.0)
    score_traces(store, VerifierScorer(lambda task, answer: True, name="kind"), weight=1.0)
    assert to_outcomes(store).score.tolist() == [[0.25]]


def test_failed_runs_are_wrong_where_asked(store: TraceStore) -> None:
    fill(store, ["4", None])
    report = score_traces(store, GoldScorer(), failed="zero")
    assert (report.scored, report.mean) == (2, 0.5)
    assert score_traces(store, GoldScorer(), failed="zero").scored == 0


def test_steps_are_scored_where_the_run_has_no_answer_of_its_own(store: TraceStore) -> None:
    store.write(RunRecord(run_id=run_id(0), started_at=1.0, status="ok", task_text="2 + 2?", gold="4"))
    for seq, answer in enumerate(("4", "5", None)):
        store.write(StepRecord(run_id=run_id(0), seq=seq, node=f"n{seq}", agent=f"a{seq}", answer=answer))
    assert score_traces(store, GoldScorer()).scored == 2
    assert [(item.step_seq, item.score) for item in outcomes(store)] == [(0, 1.0), (1, 0.0)]
    assert score_traces(store, GoldScorer()).already == 2


def test_a_crash_in_the_middle_loses_nothing_that_was_scored(store: TraceStore) -> None:
    fill(store, ["4"] * 30)
    calls: list[str] = []

    class Crash(BaseException):
        pass

    async def verify(task: Task, answer: str) -> float:
        calls.append(task.text)
        if len(calls) == 11:
            raise Crash
        return 1.0

    with pytest.raises(BaseException) as caught:
        asyncio.run(ascore_traces(store, VerifierScorer(verify, name="v"), concurrency=1))
    assert (
        caught.group_contains(Crash) if isinstance(caught.value, BaseExceptionGroup) else caught.type is Crash
    )
    assert len(outcomes(store)) == 10
    report = score_traces(store, VerifierScorer(verify, name="v"), concurrency=1)
    assert report.scored == 20 and len(set(calls)) == 30 and len(calls) == 31


def test_a_budget_ends_it_before_it_is_passed(store: TraceStore) -> None:
    fill(store, ["4"] * 40)
    scorer, client = judge({"*": "Yes."}, usd="0.002")
    report = score_traces(store, scorer, concurrency=4)
    assert report.stopped and "0.002" in report.stopped
    assert 0 < report.scored == len(client.calls) < 40
    assert 0 < report.cost <= Decimal("0.002") and len(outcomes(store)) == report.scored
    more, _ = judge({"*": "Yes."}, usd="10")
    assert score_traces(store, more).scored == 40 - report.scored


def test_a_budget_without_a_price_sends_nothing(store: TraceStore) -> None:
    fill(store, ["4"])
    scorer, client = judge({"*": "Yes."}, Backend(name="b", model="test/judge"), usd="1")
    with pytest.raises(UnpricedCall, match="unknown"):
        score_traces(store, scorer)
    assert client.calls == [] and outcomes(store) == []


def test_unreadable_verdicts_cost_and_do_not_count(store: TraceStore) -> None:
    fill(store, ["4", "5"])
    scorer, _ = judge(["Perhaps.", "No."])
    report = score_traces(store, scorer, concurrency=1)
    assert (report.scored, report.unknown) == (1, 1) and report.cost > 0
    (record,) = outcomes(store)
    assert (record.judge, record.score) == ("judge:test/judge", 0.0)


def test_one_failure_costs_one_answer_and_a_dead_backend_ends_it(store: TraceStore) -> None:
    fill(store, ["4"] * 12)
    scorer, _ = judge(["Yes.", BackendError("down, key sk-abcdefghijklmnop123456"), *["Yes."] * 10])
    report = score_traces(store, scorer, concurrency=1)
    assert (report.scored, report.errors) == (11, 1) and "sk-abc" not in report.last_error
    dead, client = judge(lambda request: BackendError("down"))
    with pytest.raises(RunError, match="3 times in a row"):
        score_traces(store, dead, again=True, concurrency=1, patience=3)
    assert len(client.calls) == 3


def test_as_many_at_once_as_asked_and_never_more(store: TraceStore) -> None:
    fill(store, ["4"] * 21)
    together = asyncio.Barrier(3)
    open_now = most = 0

    async def verify(task: Task, answer: str) -> float:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await together.wait()  # passes only when three are under way
        open_now -= 1
        return 1.0

    assert score_traces(store, VerifierScorer(verify, name="v"), concurrency=3).scored == 21
    assert most == 3


def test_a_sample_is_the_same_every_time_and_a_limit_stops(store: TraceStore) -> None:
    fill(store, ["4"] * 60)
    assert score_traces(store, GoldScorer(), limit=5).scored == 5
    first = {item.run_id for item in outcomes(store)}
    count = score_traces(store, VerifierScorer(lambda t, a: 1, name="v"), sample=0.3).scored
    chosen = {item.run_id for item in outcomes(store) if item.judge == "verifier:v"}
    assert first == {run_id(i) for i in range(5)} and 5 < count < 35
    score_traces(store, VerifierScorer(lambda t, a: 1, name="w"), sample=0.3)
    assert {item.run_id for item in outcomes(store) if item.judge == "verifier:w"} == chosen


def test_pages_go_on_where_many_runs_started_at_once(store: TraceStore) -> None:
    fill(store, ["4"] * 1203, started_at=5.0)
    seen: list[tuple[int, int]] = []
    report = score_traces(store, GoldScorer(), progress=lambda done, total: seen.append((done, total)))
    assert report.scored == 1203 and seen == [(500, 1203), (1000, 1203), (1203, 1203)]


def test_texts_that_were_not_kept_cannot_be_scored(store_url: str) -> None:
    with TraceStore.open(store_url, capture="off") as private:
        fill(private, ["4", "5"])
        report = score_traces(private, GoldScorer())
    assert (report.scored, report.without_text) == (0, 2)


def test_settings_that_make_no_sense_are_refused(store: TraceStore) -> None:
    for settings in ({"sample": 0.0}, {"concurrency": 0}, {"limit": 0}, {"weight": -1.0}):
        with pytest.raises(InvalidInput, match="at least"):
            score_traces(store, GoldScorer(), **settings)


# -- plug-ins ------------------------------------------------------------------------------------
@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("my_checks")
    monkeypatch.setitem(sys.modules, "my_checks", module)
    return module


def test_a_function_by_its_path_may_ask_for_the_run(store: TraceStore, plugin: types.ModuleType) -> None:
    fill(store, ["4", "5"])
    plugin.check = lambda task, answer, run: answer == run.gold
    assert score_traces(store, load_scorer("my_checks:check")).mean == 0.5
    assert {item.judge for item in outcomes(store)} == {"verifier:my_checks:check"}


def test_a_judge_class_by_its_path(store: TraceStore, plugin: types.ModuleType) -> None:
    class Mine:
        name = "mine"

        async def judge(self, task: Task, answer: str) -> Verdict:
            return Verdict(0.25, self.name)

    fill(store, ["4"])
    plugin.Mine = Mine
    score_traces(store, load_scorer("my_checks:Mine"))
    assert [(item.judge, item.score) for item in outcomes(store)] == [("mine", 0.25)]


def test_a_verifier_that_returns_nonsense_is_told_so(store: TraceStore) -> None:
    fill(store, ["4"])
    report = score_traces(store, VerifierScorer(lambda task, answer: [1], name="v"))
    assert report.errors == 1 and "returns a number in [0, 1]" in report.last_error
    assert score_traces(store, VerifierScorer(lambda task, answer: 7, name="w")).errors == 1


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("no_such_module:f", "PYTHONPATH"),
        ("my_checks:none", "has no 'none'"),
        ("my_checks:one", "is a int"),
        ("nobody", "entry points"),
    ],
)
def test_a_wrong_plugin_is_refused_by_name(plugin: types.ModuleType, spec: str, match: str) -> None:
    plugin.one = 1
    with pytest.raises(InvalidInput, match=match):
        load_scorer(spec)
