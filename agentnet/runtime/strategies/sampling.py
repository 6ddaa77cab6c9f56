"""Self-consistency: several samples of one agent, joined by a vote."""

from __future__ import annotations

import asyncio

from agentnet.errors import BackendError, EmptyResponse, LimitExceeded
from agentnet.graphs.answers import weighted_vote
from agentnet.graphs.final_answer import final_answer
from agentnet.runtime.call import AgentCall, Answer
from agentnet.runtime.client import Response
from agentnet.runtime.prompts import conversation
from agentnet.runtime.strategies.base import TEXT, Strategy, whole
from agentnet.runtime.strategies.prompted import THINK


async def self_consistency(call: AgentCall) -> Answer:
    """Samples ``n`` chains of thought and returns the answer most of them reach.

    The score is the share of samples in the winning group (Wang et al. 2022, arXiv:2203.11171). A sample
    that fails, or that a limit refuses, is left out; only if all fail does the agent fail. With ``seed``
    set, sample i uses seed + i.
    """
    n = call.option("n", 5)
    messages = conversation(call.agent, call.input, THINK)
    temperature = call.option("temperature", 0.7)
    seed = call.option("seed")

    def sample(i: int) -> asyncio.Task[Response]:
        changes = {"temperature": temperature, "seed": None if seed is None else seed + i}
        return asyncio.ensure_future(call.ask(messages, **changes))

    tasks = [sample(i) for i in range(n)]
    try:
        results = await asyncio.gather(*tasks, return_exceptions=True)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        raise
    failures = [result for result in results if isinstance(result, BaseException)]
    for failure in failures:
        # An interrupt or a defect is not one sample's bad luck.
        if not isinstance(failure, BackendError | LimitExceeded):
            raise failure
    answers = [final_answer(result.text) for result in results if isinstance(result, Response)]
    if not answers:
        raise next((f for f in failures if isinstance(f, LimitExceeded)), failures[0])
    vote = weighted_vote(answers, [1.0] * len(answers), call.option("normalise", "default"))
    if vote is None:
        raise EmptyResponse(f"all {n} samples of agent {call.agent.name!r} are empty.")
    return Answer(text=answers[vote.winner], score=vote.share)


SELF_CONSISTENCY = Strategy(
    name="self_consistency", run=self_consistency, options={"n": whole(1), "normalise": TEXT}
)
