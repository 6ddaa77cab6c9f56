"""The state of a compiled graph: JSON values only, so that no checkpointer ever needs pickle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from decimal import Decimal
from operator import attrgetter
from typing import Annotated, Any

# Pydantic, which makes LangGraph's JSON schemas, refuses typing's own before Python 3.12.
from typing_extensions import TypedDict

from agentnet.graphs.live import Step

PackedStep = dict[str, Any]
_SPARSE = [item for item in fields(Step) if item.name not in ("node", "agent", "round")]
_NAMES = tuple(item.name for item in _SPARSE)
_DEFAULTS = tuple(item.default for item in _SPARSE)
_VALUES = attrgetter(*_NAMES)


def merge_steps(old: list[PackedStep], new: list[PackedStep]) -> list[PackedStep]:
    """Adds finished steps; a step that already stands starts the list anew.

    The second happens only when a thread of a checkpointer is given its next task.
    """
    keys = [(step["round"], step["node"]) for step in new]
    if any((step["round"], step["node"]) in keys for step in old):
        return new
    return [*old, *new]


class GraphInput(TypedDict):
    """What a compiled graph takes."""

    task: str | dict[str, Any]
    """The task's text, or ``Task.to_dict()``."""


class GraphOutput(TypedDict, total=False):
    """What a compiled graph gives."""

    answer: str
    winner: str | None
    """Id of the node whose answer stands; None when several were joined or nobody answered."""
    error: str | None
    """Why there is no answer."""
    steps: Annotated[list[PackedStep], merge_steps]
    """What each node did, in JSON values; `unpack_step` makes a `Step` of each."""


class GraphState(GraphInput, GraphOutput):
    """The whole state."""


class TaskOnly(TypedDict):
    """What a node without predecessors reads."""

    task: str | dict[str, Any]


def pack_step(step: Step) -> PackedStep:
    """Returns a step as JSON values, without what is default; money as text.

    >>> pack_step(Step(node="a", agent="solver", answer="42", calls=1, cost=Decimal("0.01")))
    {'node': 'a', 'agent': 'solver', 'round': 0, 'answer': '42', 'calls': 1, 'cost': '0.01'}
    """
    packed: PackedStep = {"node": step.node, "agent": step.agent, "round": step.round}
    for name, value, default in zip(_NAMES, _VALUES(step), _DEFAULTS, strict=True):
        if value != default:
            packed[name] = value
    if step.cost is not None:
        packed["cost"] = str(step.cost)
    return packed


def unpack_step(packed: Mapping[str, Any]) -> Step:
    """Returns the step that `pack_step` packed."""
    cost = packed.get("cost")
    return Step(**packed) if cost is None else Step(**{**packed, "cost": Decimal(cost)})


def finished(steps: Iterable[Mapping[str, Any]]) -> dict[tuple[int, str], Step]:
    """Returns steps by round and node, as the rules in ``agentnet.graphs.semantics`` take them."""
    return {(step["round"], step["node"]): unpack_step(step) for step in steps}
