from __future__ import annotations

import contextlib
import io
import re

import pytest

from agentnet.demo.families import WITH_SPECIALIST
from agentnet.demo.specialists import NEAREST_SHOTS, all_shots, generalist, nearest_shots, specialists
from agentnet.errors import InvalidInput
from agentnet.graphs.pool import Pool
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.encoders import HashingEncoder
from agentnet.runtime.embedded.provider import serving
from agentnet.runtime.runtime import Runtime

POOL = specialists()


def test_each_family_that_claims_a_specialist_has_one() -> None:
    assert set(POOL.names) == {family.name for family in WITH_SPECIALIST}


@pytest.mark.parametrize("name", POOL.names)
def test_every_worked_example_prints_an_answer(name: str) -> None:
    for shot in POOL[name].shots:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(shot.answer, name, "exec"), {})
        assert out.getvalue().strip()
        assert "\n" not in shot.answer  # an empty line would end the answer; one line is cheap


def test_no_example_is_worded_as_a_paraphrase_of_the_tasks() -> None:
    patterns = [
        re.compile(".+".join(re.escape(part) for part in re.split(r"{\w+}", template)))
        for family in WITH_SPECIALIST
        for template in (*family.train, *family.test)
        if len(re.sub(r"{\w+}", "", template)) > 16  # "What is {}?" fits many a question
    ]
    for shot in all_shots():
        assert not any(pattern.fullmatch(shot.question) for pattern in patterns), shot.question


def test_the_pool_survives_json() -> None:
    from agentnet.graphs.agent import Agent

    assert Pool(Agent.from_dict(agent.to_dict()) for agent in POOL).version == POOL.version


def test_the_generalist_sees_the_nearest_examples_the_nearest_last(engine, server) -> None:
    shots = all_shots()
    runtime = Runtime(
        POOL.add(generalist()), strategies={NEAREST_SHOTS: nearest_shots(HashingEncoder(), shots, k=2)}
    )
    target = POOL["count_bits"].shots[1]
    server.answer = "print(7)"
    with serving(engine), runtime:
        result = runtime.run(target.question, TaskGraph.of(["generalist"]))
    assert result.answer.strip() == "7"
    prompt = server.requests[0]["prompt"]
    assert prompt.count("Question:") == 3
    last_example = prompt.rsplit("Question:", 2)[1]
    assert target.answer in last_example
    assert server.requests[0]["id_slot"] == 0


@pytest.mark.parametrize("k", [0, 1000])
def test_k_is_checked(k: int) -> None:
    with pytest.raises(InvalidInput, match="worked examples"):
        nearest_shots(HashingEncoder(), k=k)


@pytest.mark.model
def test_a_specialist_of_the_real_model_answers_through_the_runtime(real_engine) -> None:
    with serving(real_engine), Runtime(POOL) as runtime:
        result = runtime.run("What is 41 + 23 - 7?", TaskGraph.of(["chain_sum"]))
    assert result.answer.strip() == "57"
    assert result.calls == 1 and result.prompt_tokens > 50 and result.cost is None
