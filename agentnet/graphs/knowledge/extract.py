"""`Extractor`: the contract of all extractors, and making one by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from agentnet.errors import InvalidInput
from agentnet.graphs.knowledge.graph import KnowledgeGraph
from agentnet.graphs.knowledge.rules import RuleExtractor
from agentnet.graphs.task import Task

EXTRACTORS = ("rules", "spacy")
"""Names of the extractors."""


@runtime_checkable
class Extractor(Protocol):
    """Turns tasks into knowledge graphs."""

    @property
    def name(self) -> str:
        """Names the extractor and its settings: two of one name give the same graphs."""

    def extract(self, tasks: Sequence[Task]) -> list[KnowledgeGraph]:
        """Returns the graph of each task, from its text and context only."""


def make_extractor(name: str = "rules") -> Extractor:
    """Returns an extractor by name.

    Args:
        name: ``rules`` (needs nothing), ``spacy`` (the first English model that is installed) or
            ``spacy:MODEL``.

    Raises:
        InvalidInput: there is no such extractor.

    >>> make_extractor().name
    'rules'
    """
    kind, _, rest = name.partition(":")
    if kind == "rules" and not rest:
        return RuleExtractor()
    if kind == "spacy":
        from agentnet.graphs.knowledge.spacy_extractor import SpacyExtractor

        return SpacyExtractor(rest or None)
    raise InvalidInput(f"no extractor {name!r}; there are rules, spacy and spacy:MODEL.")
