"""Recorded: agents known only from what they once answered."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from agentnet.errors import RunError
from agentnet.outcomes.table import Outcomes
from agentnet.runtime.call import AgentCall, Answer
from agentnet.runtime.strategies.base import Strategy, of_type


async def recorded(call: AgentCall) -> Answer:
    """Returns ``agent.options["answers"][task text]``; no model is called and nothing is spent.

    Raises:
        RunError: nothing was recorded for this task.
    """
    text = call.input.task.text
    answers: Mapping[str, str] = call.option("answers", {})
    if text not in answers:
        raise RunError(f"agent {call.agent.name!r} has no recorded answer to this task.")
    return Answer(text=str(answers[text]))


RECORDED = Strategy(
    name="recorded",
    run=recorded,
    needs="nothing",
    options={"answers": of_type(Mapping, "an object of answers by task text")},
)


def recorded_from(outcomes: Outcomes) -> Strategy:
    """Returns a strategy that answers from an outcome table: ``strategies={"recorded": ...}``.

    Every agent of strategy ``recorded`` gives the response, cost and tokens its row holds. The score is
    not passed on: a run must not see how good its answers are.
    """
    rows = {text: i for i, text in enumerate(outcomes.queries.text)}
    columns = {name: j for j, name in enumerate(outcomes.agents)}

    async def run(call: AgentCall) -> Answer:
        i, j = rows.get(call.input.task.text), columns.get(call.agent.name)
        response = None
        if i is not None and j is not None and outcomes.response is not None:
            response = outcomes.response[i, j]
        if i is None or j is None or response is None:
            raise RunError(f"agent {call.agent.name!r} has no recorded answer to this task.")
        tally = call.tally
        tally.calls = 1
        tally.cost = _known(outcomes.cost[i, j], lambda value: Decimal(repr(float(value))))
        tally.cost_source = "recorded"
        tally.prompt_tokens = _known(outcomes.prompt_tokens[i, j], int)
        tally.completion_tokens = _known(outcomes.completion_tokens[i, j], int)
        tally.cached_tokens = None
        return Answer(text=str(response))

    return Strategy(name="recorded", run=run, needs="nothing", any_options=True)


def _known(value: Any, convert: Any) -> Any:
    return None if np.isnan(value) else convert(value)
