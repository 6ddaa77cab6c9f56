"""Names of the routers, and making or loading one by name; a router's module is imported when used."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from agentnet.errors import UnknownRouter
from agentnet.routers.base import Router

ROUTERS: dict[str, str] = {
    "random": "agentnet.routers.random:RandomRouter",
    "round_robin": "agentnet.routers.round_robin:RoundRobinRouter",
    "cheapest": "agentnet.routers.cheapest:CheapestRouter",
    "best_single": "agentnet.routers.best_single:BestSingleRouter",
    "knn": "agentnet.routers.knn:KnnRouter",
    "kmeans": "agentnet.routers.kmeans:KmeansRouter",
    "task_best": "agentnet.routers.task_best:TaskBestRouter",
    "cascade": "agentnet.routers.cascade:CascadeRouter",
    "vote": "agentnet.routers.vote:VoteRouter",
    "amro_s": "agentnet.routers.amro_s:AmroSRouter",
    "mixed_effects": "agentnet.routers.mixed_effects:MixedEffectsRouter",
    "collective": "agentnet.routers.collective:CollectiveRouter",
    "graph_router": "agentnet.routers.graph_router:GraphRouter",
    "agent_router": "agentnet.routers.agent_router:AgentGraphRouter",
    "agp": "agentnet.routers.agp:AgpRouter",
    "topology": "agentnet.routers.topology_router:TopologyRouter",
    "tcar": "agentnet.routers.tcar:TcarRouter",
    "linucb": "agentnet.routers.linucb:LinUcbRouter",
    "thompson": "agentnet.routers.thompson:ThompsonRouter",
    "eps_greedy": "agentnet.routers.eps_greedy:EpsGreedyRouter",
    "oracle": "agentnet.routers.oracle:OracleRouter",
}
"""Dotted path of every router's class by its name."""

RESERVED: tuple[str, ...] = ()
"""Names kept for routers that this version does not have yet; none at present."""


def router_names() -> tuple[str, ...]:
    """Returns the names of all routers.

    >>> "knn" in router_names()
    True
    """
    return tuple(ROUTERS)


def router_class(name: str) -> type[Router]:
    """Returns the class of a router by its name.

    Raises:
        UnknownRouter: there is no such router, or not in this version.
    """
    if name in RESERVED:
        raise UnknownRouter(
            f"router {name!r} is planned but not in this version; there are: {', '.join(ROUTERS)}."
        )
    if name not in ROUTERS:
        raise UnknownRouter(f"no router {name!r}; there are: {', '.join(ROUTERS)}.")
    module, _, attribute = ROUTERS[name].partition(":")
    found: type[Router] = getattr(import_module(module), attribute)
    return found


@dataclass(frozen=True, slots=True)
class RouterInfo:
    """A router's name, what it does, and its settings in words."""

    name: str
    summary: str
    settings: tuple[str, ...]


def describe_routers() -> list[RouterInfo]:
    """Returns what there is to choose from; imports every router's module.

    >>> next(item.summary for item in describe_routers() if item.name == "random")
    'any agent, all equally likely'
    """
    from agentnet.routers.settings import describe_each

    found = []
    for name in ROUTERS:
        made = router_class(name)
        first = (import_module(made.__module__).__doc__ or "").strip().splitlines()[0]
        settings = describe_each(made)
        found.append(RouterInfo(name, first.partition("`: ")[2].rstrip("."), settings))
    return found


def make_router(name: str, **settings: Any) -> Router:
    """Makes an unfitted router.

    Args:
        name: One of `router_names`.
        **settings: The router's settings; text is parsed, as from ``--set key=value``.

    Raises:
        UnknownRouter: there is no such router, or not in this version.
        InvalidInput: a setting does not exist or has a wrong value; the message lists those there are.

    >>> make_router("best_single").name
    'best_single'
    """
    from agentnet.routers.settings import parse_settings

    found = router_class(name)
    return found(**parse_settings(found, name, settings))


def load_router(path: str | Path) -> Router:
    """Loads a saved router of any kind; see `agentnet.routers.persist.load`."""
    from agentnet.routers.persist import load

    return load(path)
