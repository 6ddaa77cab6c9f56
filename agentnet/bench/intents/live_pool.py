"""The pool of the live measurement: eight narrow agents and an editor, all on one small model.

A specialist writes a program of one line for its own part of the query, and the sandbox runs it. The editor
is the built-in strategy ``refine`` with worked examples. Both are the product's own: nothing here answers in
a way of its own but the examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from agentnet.bench.intents.live_tasks import KINDS, SHOTS, Joined, make_joined
from agentnet.graphs.agent import Agent, Backend, Shot
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import Aggregation, Node, TaskGraph
from agentnet.runtime.call import AgentInput, Received
from agentnet.runtime.embedded.provider import embedded_backend
from agentnet.runtime.embedded.transcript import Transcript
from agentnet.runtime.strategies.refining import merge_prompt

EDITOR = "editor"


_ABOUT: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "reverse": (
            "reverser", "the word reversed", "Writes a word backwards, from its last letter to its first."
        ),
        "order": ("sorter", "the letters sorted", "Puts the letters of a word in alphabetical order."),
        "repeat": ("repeater", "the word repeated", "Writes a word several times in a row."),
        "hyphen": ("hyphenator", "the words joined", "Joins two words with a hyphen between them."),
        "capitals": (
            "capitaliser", "the word in capitals", "Writes a word in capital letters, in upper case."
        ),
        "add": ("adder", "the sum", "Adds two numbers and gives the sum."),
        "multiply": ("multiplier", "the product", "Multiplies two numbers and gives the product."),
        "binary": ("binary_writer", "the binary number", "Writes a number in binary, with ones and zeros."),
    }
)  # fmt: skip
"""Agent, what it is told to answer, and its description, by kind."""
AGENT_OF: Mapping[str, str] = MappingProxyType({kind: _ABOUT[kind][0] for kind in KINDS})
"""The agent of each kind of request."""
LAYOUT = "lines"
AGENT_SHOTS, EDITOR_SHOTS = 8, 8
"""Worked examples of a specialist and of the editor."""


class Layout(Transcript):
    """Messages as they are, worked examples one after another; every answer stands after ``Answer:``."""

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts at which an answer has ended."""
        return ("\n",)

    def _turn(self, role: str, content: str) -> str:
        if role == "user":
            return f"{content}\nAnswer:"
        return f" {content}\n\n" if role == "assistant" else f"{content}\n\n"


def live_pool(backend: Backend | None = None) -> Pool:
    """Returns the eight specialists and the editor.

    Args:
        backend: None takes the embedded model's.

    >>> live_pool().names[:3], live_pool().names[-1]
    (('reverser', 'sorter', 'repeater'), 'editor')
    """
    model = backend or embedded_backend()
    return Pool([*(_specialist(kind, model) for kind in KINDS), _editor(model)])


def live_graph(kinds: Sequence[str]) -> TaskGraph:
    """Returns the graph of the specialists of some kinds, each told its part, merged by the editor.

    Args:
        kinds: Kinds of request, in the order in which their agents stand.

    >>> live_graph(["add", "order"]).aggregation.agent
    'editor'
    """
    nodes = tuple(Node(AGENT_OF[kind], AGENT_OF[kind], prompt=told(kind)) for kind in kinds)
    return TaskGraph(nodes=nodes, aggregation=Aggregation("refine", agent=EDITOR))


def told(kind: str) -> str:
    """Returns what the agent of a kind is told to answer."""
    return _ABOUT[kind][1]


def _specialist(kind: str, backend: Backend) -> Agent:
    name, part, description = _ABOUT[kind]
    shots = []
    for item in make_joined(SHOTS, 20 * AGENT_SHOTS):
        own = [request for request in item.parts if request.kind == kind]
        shots += [Shot(f"{item.text}\n\n{part}", request.program) for request in own]
    return Agent(
        name=name,
        description=description,
        backend=backend,
        strategy="program",
        shots=tuple(shots[:AGENT_SHOTS]),
        options=_options(max_tokens=32, wall_s=20.0, cpu_s=5.0),
    )


def _editor(backend: Backend) -> Agent:
    return Agent(
        name=EDITOR,
        description="Merges the answers of the others into one.",
        backend=backend,
        strategy="refine",
        shots=tuple(_merge(item) for item in make_joined(SHOTS, EDITOR_SHOTS)),
        options=_options(max_tokens=64, layout=LAYOUT, parts="keep"),
    )


def _merge(item: Joined) -> Shot:
    received = tuple(
        Received(
            node=AGENT_OF[part.kind], agent=AGENT_OF[part.kind], answer=part.gold, prompt=told(part.kind)
        )
        for part in item.parts
    )
    given = AgentInput(task=Task(item.text), node="refine", received=received)
    return Shot(merge_prompt(given, layout=LAYOUT), merged(item))


def merged(item: Joined) -> str:
    """Returns a query's right answer in the form that the editor is shown."""
    return "; ".join(f"{told(part.kind)} ({AGENT_OF[part.kind]}): {part.gold}" for part in item.parts)


def _options(**more: Any) -> dict[str, Any]:
    return {"instruction": "", "temperature": 0.0, **more}
