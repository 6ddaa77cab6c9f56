"""The pool: six agents on one small model, that differ in how they are told to answer."""

from __future__ import annotations

from agentnet.bench.kgqa.layout import REPLY
from agentnet.graphs.agent import Agent, Backend
from agentnet.graphs.pool import Pool
from agentnet.runtime.embedded.provider import embedded_backend

_QUOTED = f'Copy the answer from the passages.{REPLY}The answer is "'


def make_pool(backend: Backend | None = None) -> Pool:
    """Returns the six agents, all on one backend.

    Args:
        backend: None takes the embedded model's.

    >>> [agent.name for agent in make_pool()][:3]
    ['extractive', 'direct', 'chain_of_thought']
    """
    model = backend or embedded_backend()
    return Pool(
        [
            Agent(
                name="extractive",
                description="Copies the shortest span of the passages that answers the question.",
                backend=model,
                options={"instruction": _QUOTED, "max_tokens": 12, "stop": ["\n", '"'], "temperature": 0.0},
            ),
            Agent(
                name="direct",
                description="Answers in one sentence without further instruction.",
                backend=model,
                options={"max_tokens": 20, "stop": ["\n"], "temperature": 0.0},
            ),
            Agent(
                name="chain_of_thought",
                description="Reasons step by step through the passages, then answers.",
                backend=model,
                strategy="think_then_answer",
                options={"instruction": "Think step by step.", "temperature": 0.0},
            ),
            Agent(
                name="self_consistency",
                description="Samples three short answers and returns the one that most of them give.",
                backend=model,
                strategy="self_consistency",
                options={
                    "instruction": _QUOTED,
                    "max_tokens": 12,
                    "stop": ["\n", '"'],
                    "n": 3,
                    "temperature": 0.7,
                    "seed": 1,
                },
            ),
            Agent(
                name="decompose",
                description="Asks and answers a simpler question first, then the question itself.",
                backend=model,
                strategy="decompose",
                options={"instruction": "First ask a simpler question and answer it.", "temperature": 0.0},
            ),
            Agent(
                name="summarise",
                description="Summarises what the passages say about the question, then answers.",
                backend=model,
                strategy="summarise_then_answer",
                options={"instruction": "Summarise what the passages say about this.", "temperature": 0.0},
            ),
        ]
    )
