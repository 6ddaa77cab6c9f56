"""Judges: what they say, what it costs, and how often a noisy one errs."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from agentnet import Agent, Backend, Message, Task
from agentnet.errors import BackendError, InvalidInput
from agentnet.learning.judges import ExactJudge, Judge, NoisyJudge, Verdict, judge_sync
from agentnet.learning.llm_judge import LLMJudge, read_reply
from agentnet.runtime.client import Request, Response
from agentnet.runtime.clients.scripted import ScriptedClient

BACKEND = Backend(name="b", model="openai/small", price_in_per_mtok="1", price_out_per_mtok="1")


def right(task: Task, answer: str) -> bool:
    return answer == "4"


async def test_an_exact_judge_says_what_the_program_says() -> None:
    judge = ExactJudge(right)
    assert isinstance(judge, Judge)
    assert await judge.judge(Task("2 + 2?"), "4") == judge.verdict(Task("2 + 2?"), "4")
    assert judge.verdict(Task("2 + 2?"), "4") == Verdict(1.0, "verifier:right")
    assert judge_sync(judge, "2 + 2?", "5") == Verdict(0.0, "verifier:right")
    assert ExactJudge(lambda task, answer: 0.25, name="part").verdict(Task("x"), "").score == 0.25


def test_a_score_outside_zero_to_one_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"lie in \[0, 1\]"):
        ExactJudge(lambda task, answer: 7, name="lucky").verdict(Task("x"), "")
    with pytest.raises(InvalidInput):
        Verdict(float("nan"), "j")


def test_the_gate_is_binary() -> None:
    assert Verdict(0.5, "j").accepted() and not Verdict(0.49, "j").accepted()
    assert not Verdict(None, "j").accepted() and Verdict(0.2, "j").accepted(0.2)


# -- a language model ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("yes", 1.0),
        ("No.", 0.0),
        ("**YES**", 1.0),
        ("Yes, because 2 + 2 is 4.", 1.0),
        ("2 + 2 is 4, and the answer says 5.\n\nNo", 0.0),
        ("No doubt about it: yes", None),
        ("Nobody knows", None),
        ("", None),
        ("eyes", None),
    ],
)
def test_replies_are_read_or_left_unread(reply: str, score: float | None) -> None:
    assert read_reply(reply) == score


async def test_the_model_is_asked_once_at_temperature_zero() -> None:
    client = ScriptedClient(["Yes"])
    task = Task("2 + 2?", context="Sums.", history=(Message("user", "Hello"),))
    verdict = await LLMJudge(BACKEND, client, max_tokens=64).judge(task, "It is 4.")
    request: Request = client.calls[0]
    assert (request.temperature, request.max_tokens, request.backend) == (0.0, 64, BACKEND)
    said = "\n".join(message.content for message in request.messages)
    for part in ("2 + 2?", "Sums.", "Hello", "<answer>\nIt is 4.\n</answer>", "correct and complete"):
        assert part in said
    assert (verdict.score, verdict.judge, verdict.note) == (1.0, "judge:openai/small", "")
    assert verdict.cost is not None and verdict.cost > 0


def test_an_agent_lends_its_role_and_name() -> None:
    client = ScriptedClient({"examiner": "no"})
    judge = LLMJudge(Agent(name="examiner", backend=BACKEND, system="You are strict."), client)
    assert judge_sync(judge, "2 + 2?", "5").score == 0.0
    assert client.calls[0].messages[0] == Message("system", "You are strict.")
    with pytest.raises(InvalidInput, match="no backend"):
        LLMJudge(Agent(name="f", call=str.upper), client)


def test_an_unreadable_reply_is_no_verdict_and_still_costs() -> None:
    client = ScriptedClient(
        [Response(text="Perhaps.", cost=Decimal("0.01")), Response(text="Hm")], usage=False
    )
    judge = LLMJudge(Backend(name="c", model="m"), client)
    first, second = judge_sync(judge, "q", "a"), judge_sync(judge, "q", "a")
    assert (first.score, first.cost) == (None, Decimal("0.01")) and "Perhaps" in first.note
    assert second.cost is None, "unknown is not zero"


def test_a_backend_that_is_down_is_told() -> None:
    with pytest.raises(BackendError):
        judge_sync(LLMJudge(BACKEND, ScriptedClient([BackendError("down")])), "q", "a")


# -- noise ---------------------------------------------------------------------------------------
def _rate(judge: Judge, answer: str, n: int = 4000) -> float:
    async def accepted() -> int:
        verdicts = [await judge.judge(Task(f"question {i}"), answer) for i in range(n)]
        return sum(verdict.accepted() for verdict in verdicts)

    return asyncio.run(accepted()) / n


def test_noise_errs_at_the_given_rates() -> None:
    judge = NoisyJudge(ExactJudge(right), false_accept=0.05, false_reject=0.3, seed=3)
    # 4,000 draws: 5 standard errors are 1.7 and 3.6 points.
    assert _rate(judge, "5") == pytest.approx(0.05, abs=0.017)
    assert _rate(judge, "4") == pytest.approx(0.70, abs=0.036)
    exact = NoisyJudge(ExactJudge(right), false_accept=0.0, false_reject=0.0)
    assert (_rate(exact, "4", 200), _rate(exact, "5", 200)) == (1.0, 0.0)
    wrong = NoisyJudge(ExactJudge(right), false_accept=1.0, false_reject=1.0)
    assert (_rate(wrong, "4", 200), _rate(wrong, "5", 200)) == (0.0, 1.0)


def test_noise_depends_on_seed_and_content_alone() -> None:
    def verdicts(seed: int, tasks: list[Task]) -> dict[str, float | None]:
        judge = NoisyJudge(ExactJudge(right), false_accept=0.5, seed=seed)
        return {task.text: judge_sync(judge, task, "5").score for task in tasks}

    tasks = [Task(f"q{i}") for i in range(50)]
    named = [Task(task.text, task_id="x", session_id="y") for task in reversed(tasks)]
    assert verdicts(1, tasks) == verdicts(1, named)
    assert verdicts(1, tasks) != verdicts(2, tasks)


def test_noise_keeps_what_was_not_judged_and_says_its_name() -> None:
    client = ScriptedClient({"*": Response(text="Hm", cost=Decimal(1))})
    judge = NoisyJudge(LLMJudge(BACKEND, client), false_accept=1.0)
    verdict = judge_sync(judge, "q", "a")
    assert (verdict.score, verdict.cost, verdict.judge) == (None, Decimal(1), "judge:openai/small+noise")
    with pytest.raises(InvalidInput, match="false_accept"):
        NoisyJudge(judge, false_accept=1.2)
