"""Strategies that are one call with an instruction: direct, chain of thought, critic and the like."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agentnet.graphs.final_answer import final_answer
from agentnet.runtime.call import AgentCall, Answer, confidence
from agentnet.runtime.prompts import conversation
from agentnet.runtime.strategies.base import Strategy

THINK = (
    "Think step by step. Finish with one line of the form 'Answer: ...' that holds the answer and nothing "
    "else."
)
CRITIC = (
    "You review answers. Say which of them are wrong and why, then finish with one line of the form "
    "'Answer: ...' that holds the answer you believe to be right."
)
SUMMARISE = "Summarise what matters for the question, briefly and without adding anything."
DEBATE = (
    "You debate with other agents. Weigh their answers against your own reasoning, keep or change your mind, "
    "and finish with one line of the form 'Answer: ...'."
)


def prompted(
    instruction: str, *, heading: str = "", extract: bool = False
) -> Callable[[AgentCall], Awaitable[Answer]]:
    """Returns a strategy function that asks once.

    Args:
        instruction: Added to the agent's role; the agent's option ``instruction`` replaces it.
        heading: Stands above the answers received.
        extract: Whether the answer is what the text marks as such, see `agentnet.graphs.final_answer`.
    """

    async def run(call: AgentCall) -> Answer:
        messages = conversation(call.agent, call.input, instruction, heading=heading)
        response = await call.ask(messages)
        text = final_answer(response.text) if extract else response.text.strip()
        return Answer(text=text, score=confidence(response))

    return run


def _strategy(name: str, instruction: str, heading: str = "", *, extract: bool = False) -> Strategy:
    return Strategy(name=name, run=prompted(instruction, heading=heading, extract=extract))


DIRECT = _strategy("direct", "")
"""One call; the answer is the model's text. As in the usual zero- or few-shot prompt."""
CHAIN_OF_THOUGHT = _strategy("chain_of_thought", THINK, extract=True)
"""Reasons before it answers (Wei et al. 2022, arXiv:2201.11903); the reasoning stays in the trace."""
CRITIC_STRATEGY = _strategy("critic", CRITIC, "Answers to review")
"""Finds mistakes in the answers it receives; its whole review is its answer."""
SUMMARISE_STRATEGY = _strategy("summarise", SUMMARISE, "Texts to summarise")
"""Shortens context and received answers to what the question needs."""
DEBATE_STRATEGY = _strategy("debate", DEBATE, "Answers of the other debaters", extract=True)
"""Revises its answer in the light of the others' (Du et al. 2023, arXiv:2305.14325)."""
