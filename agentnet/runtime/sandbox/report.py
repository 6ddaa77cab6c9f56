"""What a sandbox process says about itself, read with the distrust it deserves."""

from __future__ import annotations

from dataclasses import dataclass

from agentnet.runtime.sandbox.types import Layer


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The report of ``child.py``.

    All up to ``ready`` was written before the program ran and can be trusted. ``end`` and
    ``answer`` are the program's own: it can forge them, about nothing but its own answer.
    """

    layers: tuple[Layer, ...]
    ready: bool
    refused: str | None
    end: str
    answer: str | None


def parse_report(data: bytes) -> Report:
    r"""Read a report; what does not parse is left out.

    >>> parse_report(b"layer seccomp 1 allow-list\nready\nend ok\nanswer 42").answer
    '42'
    """
    layers: list[Layer] = []
    text = data.decode("utf-8", "replace")
    ready, refused = False, None
    while text and not ready and refused is None:
        line, _, text = text.partition("\n")
        word, _, rest = line.partition(" ")
        if word == "layer":
            name, _, rest = rest.partition(" ")
            holds, _, detail = rest.partition(" ")
            layers.append(Layer(name, holds == "1", detail))
        elif word == "refused":
            refused = rest
        ready = word == "ready"
    end, _, answer = text.partition("\n") if ready and text.startswith("end ") else ("", "", "")
    return Report(
        layers=tuple(layers),
        ready=ready,
        refused=refused,
        end=end.removeprefix("end "),
        answer=answer.removeprefix("answer ") if answer.startswith("answer ") else None,
    )
