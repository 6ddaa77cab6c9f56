"""Converters from public formats to packs."""

from agentnet.outcomes.converters.intents import from_clinc
from agentnet.outcomes.converters.llmrouterbench import from_llmrouterbench
from agentnet.outcomes.converters.qa import from_hotpotqa
from agentnet.outcomes.converters.registry import CONVERTERS, convert
from agentnet.outcomes.converters.wide import from_routellm, from_routerbench

__all__ = [
    "CONVERTERS",
    "convert",
    "from_clinc",
    "from_hotpotqa",
    "from_llmrouterbench",
    "from_routellm",
    "from_routerbench",
]
