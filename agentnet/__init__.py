"""agentnet: multi-agent LLM systems whose routing is learned.

A router turns a task into a small weighted graph of agents; the runtime runs that graph; what happened
is logged; the log trains the next router.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentnet.errors import AgentnetError
    from agentnet.graphs.agent import Agent, Backend, Shot
    from agentnet.graphs.live import LiveState, PartialRun
    from agentnet.graphs.pool import Pool, PoolHandle
    from agentnet.graphs.task import Message, Task
    from agentnet.graphs.task_graph import Aggregation, Edge, Limits, Node, StopCondition, TaskGraph
    from agentnet.outcomes.packs import load_outcomes
    from agentnet.outcomes.table import Outcomes
    from agentnet.registry.base import open_registry
    from agentnet.routers.base import RouteOptions, Router
    from agentnet.routers.decision import Decision
    from agentnet.routers.registry import load_router, make_router
    from agentnet.runtime.runtime import RunResult, Runtime
    from agentnet.traces.store import TraceStore

__version__ = "0.1.0"

_HOME = {
    "Agent": "agentnet.graphs.agent",
    "AgentnetError": "agentnet.errors",
    "Aggregation": "agentnet.graphs.task_graph",
    "Backend": "agentnet.graphs.agent",
    "Decision": "agentnet.routers.decision",
    "Edge": "agentnet.graphs.task_graph",
    "Limits": "agentnet.graphs.task_graph",
    "LiveState": "agentnet.graphs.live",
    "Message": "agentnet.graphs.task",
    "Node": "agentnet.graphs.task_graph",
    "Outcomes": "agentnet.outcomes.table",
    "PartialRun": "agentnet.graphs.live",
    "Pool": "agentnet.graphs.pool",
    "PoolHandle": "agentnet.graphs.pool",
    "RouteOptions": "agentnet.routers.base",
    "Router": "agentnet.routers.base",
    "RunResult": "agentnet.runtime.runtime",
    "Runtime": "agentnet.runtime.runtime",
    "Shot": "agentnet.graphs.agent",
    "StopCondition": "agentnet.graphs.task_graph",
    "Task": "agentnet.graphs.task",
    "TaskGraph": "agentnet.graphs.task_graph",
    "TraceStore": "agentnet.traces.store",
    "load_outcomes": "agentnet.outcomes.packs",
    "load_router": "agentnet.routers.registry",
    "make_router": "agentnet.routers.registry",
    "open_registry": "agentnet.registry.base",
}

__all__ = [
    "Agent",
    "AgentnetError",
    "Aggregation",
    "Backend",
    "Decision",
    "Edge",
    "Limits",
    "LiveState",
    "Message",
    "Node",
    "Outcomes",
    "PartialRun",
    "Pool",
    "PoolHandle",
    "RouteOptions",
    "Router",
    "RunResult",
    "Runtime",
    "Shot",
    "StopCondition",
    "Task",
    "TaskGraph",
    "TraceStore",
    "__version__",
    "load_outcomes",
    "load_router",
    "make_router",
    "open_registry",
]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that ``import agentnet`` stays instant."""
    try:
        return getattr(import_module(_HOME[name]), name)
    except KeyError:
        raise AttributeError(f"module 'agentnet' has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted(__all__)
