"""Small societies and usual graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from agentnet.bench.society import Society
from agentnet.outcomes.encoders.threads import torch_threads
from agentnet.routers.topology.graphs import Graphs


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


def _small(seed: int, n: int = 4, d: int = 2, **changes: object) -> Society:
    """A society of n agents with every habit: synergies both ways, groups, idle and adversarial agents."""
    rng = np.random.default_rng(seed)
    synergy = np.where(rng.random((n, n, d)) < min(0.3, 4 / n**2), rng.uniform(0.1, 1.0, (n, n, d)), 0.0)
    synergy[np.arange(n), np.arange(n)] = 0
    fields: dict[str, object] = {
        "name": f"small-{seed}",
        "agents": tuple(f"agent-{i}" for i in range(n)),
        "descriptions": ("an agent",) * n,
        "domains": ("algebra", "law", "medicine")[:d],
        "levels": (1.2, 0.8),
        "skill": rng.uniform(-0.6, 1.2, (n, d)),
        "synergy": synergy,
        "susceptibility": rng.uniform(0.0, 0.9, n),
        "loudness": rng.uniform(0.3, 1.4, n),
        "group": rng.integers(0, max(n // 2, 1), n),
        "rho": float(rng.uniform(0, 0.7)),
        "prompt": rng.integers(50, 150, n).astype(float),
        "completion": rng.integers(50, 300, n).astype(float),
        "decision": 40.0,
        "price": float(10 ** rng.uniform(-5.5, -3.5)),
    }
    return Society(**(fields | changes))  # type: ignore[arg-type]


def _complete(n: int) -> Graphs:
    """Everyone reads all that come before in the pool."""
    return Graphs.joined(
        torch.ones(1, n, dtype=torch.bool), torch.ones(1, n, n, dtype=torch.bool).triu(1), "all"
    )


def _singles(n: int) -> Graphs:
    """Each agent alone."""
    return Graphs.joined(torch.eye(n, dtype=torch.bool), torch.zeros(n, n, n, dtype=torch.bool), "all")


def _linked(n: int, *pairs: tuple[int, int]) -> Graphs:
    """The agents of these edges, and the edges."""
    keep, edges = torch.zeros(1, n, dtype=torch.bool), torch.zeros(1, n, n, dtype=torch.bool)
    for i, j in pairs:
        keep[0, [i, j]] = True
        edges[0, i, j] = True
    return Graphs.joined(keep, edges, "all")


@pytest.fixture(scope="session")
def small() -> Callable[..., Society]:
    return _small


@pytest.fixture(scope="session")
def complete() -> Callable[[int], Graphs]:
    return _complete


@pytest.fixture(scope="session")
def singles() -> Callable[[int], Graphs]:
    return _singles


@pytest.fixture(scope="session")
def linked() -> Callable[..., Graphs]:
    return _linked
