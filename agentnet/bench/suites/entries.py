"""Which routers, under which settings, take part in a suite."""

from __future__ import annotations

from collections.abc import Sequence

from agentnet.bench.protocol import Entry
from agentnet.routers.registry import ROUTERS, router_class

NEURAL = (
    Entry("collective", "collective", randomised=True),
    Entry("graph_router", "graph_router", {"recipe": "agentnet"}, randomised=True),
    Entry("graph_router paper", "graph_router", {"recipe": "paper"}, randomised=True),
    Entry("agent_router", "agent_router", {"recipe": "agentnet"}, randomised=True),
    Entry("agent_router paper", "agent_router", {"recipe": "paper"}, randomised=True),
)
"""The graph neural routers; those of two recipes have an entry for each."""


def registered(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Returns the entries whose router this version has.

    >>> [entry.label for entry in registered([Entry.of("knn"), Entry.of("no_such_router")])]
    ['knn']
    """
    return tuple(entry for entry in entries if entry.router in ROUTERS)


def entries_of(names: Sequence[str] | None, known: Sequence[Entry]) -> list[Entry]:
    """Returns the entries wanted: a label, a router with all its entries, or any other router.

    Args:
        names: What is wanted; None wants all that are known.
        known: Entries that a name can mean.

    Raises:
        UnknownRouter: a name is neither a label nor a router.

    >>> [entry.label for entry in entries_of(["knn"], [Entry("knn of five", "knn", {"k": 5})])]
    ['knn of five']
    """
    if names is None:
        return list(known)
    wanted: dict[str, Entry] = {}
    for name in names:
        exact = [entry for entry in known if entry.label == name]
        found = exact or [entry for entry in known if entry.router == name]
        if not found:
            router_class(name)  # a wrong name is said before hours of work
            found = [Entry.of(name)]
        wanted |= {entry.label: entry for entry in found}
    return list(wanted.values())
