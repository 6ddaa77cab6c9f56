"""`Views`: what the graph sees of a query: its text, its form and its entities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.knowledge import NO_ENTITY, make_extractor
from agentnet.graphs.task import Task
from agentnet.outcomes.encoders import CachedEncoder, Encoder, task_text
from agentnet.outcomes.encoders.base import unit_rows
from agentnet.outcomes.encoders.form import FormEncoder

Vectors = NDArray[np.float32]
ENTITIES = 256
"""Hashed entities: two queries that share a name share a number."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each view stands in a query's encoding.

    >>> Layout(text=4, form=3, entities=2).width
    9
    """

    text: int
    form: int
    entities: int

    @property
    def width(self) -> int:
        """Numbers of an encoding."""
        return self.text + self.form + self.entities

    def parts(self, vectors: Vectors) -> tuple[Vectors, Vectors, Vectors]:
        """Returns text [n, text], form [n, form] and entities [n, entities], each of unit rows or zeros."""
        after = self.text + self.form
        return vectors[:, : self.text], vectors[:, self.text : after], vectors[:, after:]


class Viewer:
    """Encodes tasks in all views.

    Args:
        encoder: Of the text.
        entities: Whether entities are looked for; they cost milliseconds a task.
        form: Whether the form of a question is looked at.
    """

    def __init__(self, encoder: Encoder, *, entities: bool, form: bool = True) -> None:
        shapes = FormEncoder()
        self.text = encoder
        self.form: Encoder | None = None
        if form:
            self.form = encoder.beside(shapes) if isinstance(encoder, CachedEncoder) else shapes
        self.with_entities = entities
        self._extractor = make_extractor("rules") if entities else None
        self.layout = Layout(encoder.dim, shapes.dim if form else 0, ENTITIES if entities else 0)

    def encode(self, tasks: Sequence[Task]) -> Vectors:
        """Returns [n, width] float32; see `Layout`."""
        texts = [task_text(task) for task in tasks]
        parts = [self.text.encode(texts)]
        if self.form is not None:
            parts.append(self.form.encode([task.text for task in tasks]))
        if self._extractor is not None:
            graphs = self._extractor.extract(tasks)
            names = [[item.text for item in graph.entities if item != NO_ENTITY] for graph in graphs]
            parts.append(_hashed(names))
        return np.concatenate(parts, axis=1, dtype=np.float32)


def _hashed(names: Sequence[Sequence[str]]) -> Vectors:
    """[n, ENTITIES] unit vectors of which entities occur; of zeros where there are none."""
    found = np.zeros((len(names), ENTITIES))
    for row, items in enumerate(names):
        for item in {name.casefold() for name in items}:
            found[row, crc32(item.encode("utf-8", "surrogatepass")) % ENTITIES] = 1.0
    return unit_rows(found)
