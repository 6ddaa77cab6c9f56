"""`convert`: a public file in, a pack out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from agentnet.errors import DataError
from agentnet.outcomes.converters.intents import from_clinc
from agentnet.outcomes.converters.llmrouterbench import from_llmrouterbench
from agentnet.outcomes.converters.qa import from_hotpotqa
from agentnet.outcomes.converters.wide import from_routellm, from_routerbench
from agentnet.outcomes.packs import save_pack, save_queries
from agentnet.outcomes.table import Outcomes, Queries

Converter = Callable[[Path], Outcomes | Queries]

CONVERTERS: Mapping[str, Converter] = MappingProxyType(
    {
        "clinc": from_clinc,
        "hotpotqa": from_hotpotqa,
        "llmrouterbench": from_llmrouterbench,
        "routellm": from_routellm,
        "routerbench": from_routerbench,
    }
)
"""Converters by the name of the format."""


def convert(kind: str, source: str | Path, folder: str | Path) -> Outcomes | Queries:
    """Converts a public file, or folder of files, and writes it as a pack.

    Args:
        kind: One of `CONVERTERS`.
        source: The file or folder.
        folder: Where the pack goes.

    Returns:
        What was written: outcomes, or only queries where the format has no agents.

    Raises:
        DataError: the kind is unknown, or the source is not of that format.
    """
    if kind not in CONVERTERS:
        raise DataError(f"no converter {kind!r}; there are {', '.join(sorted(CONVERTERS))}.")
    result = CONVERTERS[kind](Path(source))
    if isinstance(result, Outcomes):
        save_pack(result, folder)
    else:
        save_queries(result, folder)
    return result
