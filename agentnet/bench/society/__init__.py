"""Simulated societies of agents in which the best topology is known, for what no recording can tell.

Nothing here calls a model. Every figure these modules give is *simulated* and is labelled so. How a society
works is told in `agentnet.bench.society.model`, what is drawn in `agentnet.bench.society.prior`, how the best
topology is found and certified in `agentnet.bench.society.search` and `agentnet.bench.society.bound`.
"""

from __future__ import annotations

from agentnet.bench.society.environment import SocietyEnvironment
from agentnet.bench.society.logs import random_graphs
from agentnet.bench.society.prior import Kind
from agentnet.bench.society.search import Best
from agentnet.bench.society.society import Society
from agentnet.bench.society.tasks import shuffled_texts

__all__ = ["Best", "Kind", "Society", "SocietyEnvironment", "random_graphs", "shuffled_texts"]
