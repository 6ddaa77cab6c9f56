"""Reads a reasoning model's answer, whatever became of its form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agentnet.routers.reasoning.prompt import MOST_AGENTS, OUT_OF_SCOPE

REASON_CHARS = 2000
_REASON = re.compile(
    r"<\s*reason\s*>(.*?)(?:<\s*/\s*reason\s*>|(?=<\s*id\s*>)|\Z)", re.IGNORECASE | re.DOTALL
)
_ID = re.compile(r"<\s*id\s*>([^<]*)(?:<|\Z)", re.IGNORECASE)
_MOST_CHARS = 100_000


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model chose.

    Attributes:
        agents: Names of the chosen agents, each once, in the model's order; empty when none fits or nothing
            could be read.
        out_of_scope: The model said that no agent fits, and named none.
        reason: Its reasoning; empty where there is none.
        unknown: Ids it named that are nobody's, as it wrote them.
        cut: Names beyond the most that may be chosen.
        readable: Whether an id or "out of scope" was found: where not, nothing is decided.
    """

    agents: tuple[str, ...] = ()
    out_of_scope: bool = False
    reason: str = ""
    unknown: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()

    @property
    def readable(self) -> bool:
        """Whether anything was decided."""
        return bool(self.agents) or self.out_of_scope


def parse_reply(text: str, ids: Mapping[str, str], *, most: int = MOST_AGENTS) -> Reply:
    """Reads ``<Reason>`` and ``<ID>`` elements, or the JSON that `reply_schema` describes.

    Never raises. Only ids of the prompt count, whatever else the text says: repeated ones once, unknown ones
    are told but dropped, named agents outweigh ``oos``, and what is over ``most`` is cut in order. An id also
    counts when it is the agent's exact name. Text inside the reasoning is not read for ids.

    Args:
        text: What the model wrote.
        ids: Agent's name by id.
        most: Most agents.

    >>> parse_reply("<Reason>A card.</Reason><ID>A1</ID><ID>A7</ID>", {"A1": "cards"})
    Reply(agents=('cards',), out_of_scope=False, reason='A card.', unknown=('A7',), cut=())
    """
    text = text[:_MOST_CHARS]
    found = _from_json(text)
    if found is None:
        match = _REASON.search(text)
        reason = match[1] if match else ""
        rest = text if match is None else text[: match.start()] + text[match.end() :]
        found = (reason, [item[1] for item in _ID.finditer(rest)])
    reason, written = found
    return _reply(reason, written, ids, most)


def _from_json(text: str) -> tuple[str, list[str]] | None:
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start or "<" in text[:start]:
        return None
    try:
        data: Any = json.loads(text[start : end + 1])
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    listed = data.get("ids", data.get("id"))
    if isinstance(listed, str):
        listed = [listed]
    if not isinstance(listed, list):
        return None
    reason = data.get("reason", "")
    return (reason if isinstance(reason, str) else "", [item for item in listed if isinstance(item, str)])


def _reply(reason: str, written: Iterable[str], ids: Mapping[str, str], most: int) -> Reply:
    by_name = {name: name for name in ids.values()}
    known = {key.lower(): name for key, name in ids.items()}
    agents: list[str] = []
    unknown: list[str] = []
    nobody = False
    for item in written:
        # A model may list several ids in one element.
        whole = item.strip()
        parts = [whole] if whole in by_name else [part.strip() for part in re.split(r"[,;\s]+", whole)]
        for part in parts:
            name = known.get(part.lower()) or by_name.get(part)
            if part.lower() == OUT_OF_SCOPE:
                nobody = True
            elif name is not None:
                agents.append(name)
            elif part:
                unknown.append(part[:80])
    chosen = tuple(dict.fromkeys(agents))
    return Reply(
        agents=chosen[:most],
        out_of_scope=nobody and not chosen,
        reason=" ".join(reason.split())[:REASON_CHARS],
        unknown=tuple(dict.fromkeys(unknown))[:20],
        cut=chosen[most:],
    )
