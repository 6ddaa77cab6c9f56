"""Reads a reasoning model's answer, whatever became of its form."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentnet.routers.reasoning.prompt import MOST_AGENTS, OUT_OF_SCOPE

REASON_CHARS = 2000
_MOST_CHARS = 100_000
_MOST_OBJECTS = 20
"""Most opening braces at which JSON is looked for."""
# Each pattern takes time linear in the text.
_THOUGHT = re.compile(r"\A.*<\s*/\s*think\s*>|<\s*think\s*>.*\Z", re.IGNORECASE | re.DOTALL)
_PARROTED = re.compile(
    r"<\s*agents\s*>\s*<\s*agent\s*>.*?(?:<\s*/\s*agents\s*>|\Z)", re.IGNORECASE | re.DOTALL
)
_REASON = re.compile(
    r"<\s*reason\s*>((?:(?!<\s*reason\s*>).)*?)<\s*/\s*reason\s*>", re.IGNORECASE | re.DOTALL
)
_OPEN_REASON = re.compile(r"<\s*reason\s*>(.*?)(?:(?=<\s*id\s*>)|\Z)", re.IGNORECASE | re.DOTALL)
_ID = re.compile(r"<\s*id\s*>([^<]*)(?:<|\Z)", re.IGNORECASE)
_UNSTORABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_AROUND = " \"'`[](){}.:*#"
"""What models put around an id."""


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
    counts when it is the agent's exact name. Not read for ids: closed ``<Reason>`` elements, a ``<think>``
    block before the answer, and an ``<Agents>`` list that the model copied from its prompt.

    Args:
        text: What the model wrote.
        ids: Agent's name by id.
        most: Most agents.

    >>> parse_reply("<Reason>A card.</Reason><ID>A1</ID><ID>A7</ID>", {"A1": "cards"})
    Reply(agents=('cards',), out_of_scope=False, reason='A card.', unknown=('A7',), cut=())
    """
    text = _PARROTED.sub(" ", _THOUGHT.sub(" ", text[:_MOST_CHARS]))
    reason, written = _from_json(text) or _from_elements(text)
    return _reply(reason, written, ids, most)


def _from_elements(text: str) -> tuple[str, list[str]]:
    closed = _REASON.search(text)
    # Models that go on after their answer repeat it, reason and all.
    text = _REASON.sub(" ", text)
    opened = _OPEN_REASON.search(text)
    reason = closed[1] if closed else opened[1] if opened else ""
    return reason, [item[1] for item in _ID.finditer(text)]


def _from_json(text: str) -> tuple[str, list[str]] | None:
    for data in _objects(text):
        fields = {str(key).lower(): value for key, value in data.items()}
        listed = fields.get("ids", fields.get("id"))
        if isinstance(listed, str):
            listed = [listed]
        if isinstance(listed, list):
            reason = fields.get("reason", "")
            ids = [item for item in listed if isinstance(item, str)]
            return reason if isinstance(reason, str) else "", ids
    return None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Yields the JSON objects that begin before any markup."""
    decoder = json.JSONDecoder(strict=False)  # models put line breaks into strings
    markup = text.find("<")
    start = text.find("{", 0, None if markup < 0 else markup)
    for _ in range(_MOST_OBJECTS):
        if start < 0:
            return
        end = start + 1
        try:
            data, end = decoder.raw_decode(text, start)
            if isinstance(data, dict):
                yield data
        except (ValueError, RecursionError):
            pass
        start = text.find("{", end, None if markup < end else markup)


def _reply(reason: str, written: Iterable[str], ids: Mapping[str, str], most: int) -> Reply:
    names = {name: name for name in ids.values()}
    known = {key.lower(): name for key, name in ids.items()}
    agents: list[str] = []
    unknown: list[str] = []
    nobody = False
    for item in written:
        for part in _parts(item, names):
            name = known.get(part.lower()) or names.get(part)
            if part.lower() == OUT_OF_SCOPE:
                nobody = True
            elif name is not None:
                agents.append(name)
            elif told := _storable(part)[:80].strip():
                unknown.append(told)
    chosen = tuple(dict.fromkeys(agents))
    return Reply(
        agents=chosen[:most],
        out_of_scope=nobody and not chosen,
        reason=_storable(reason)[:REASON_CHARS],
        unknown=tuple(dict.fromkeys(unknown))[:20],
        cut=chosen[most:],
    )


def _parts(item: str, names: Mapping[str, str]) -> Iterator[str]:
    """Yields the ids of one element: models list several in it; a name may hold what divides them."""
    for text in (item, html.unescape(item)):
        if text.strip() in names:
            yield text.strip()
            return
    for piece in re.split(r"[,;\n]", item):
        whole = html.unescape(piece).strip()
        if (bare := whole.strip(_AROUND)) in names or whole in names:
            yield whole if whole in names else bare
        else:
            yield from (part.strip(_AROUND) or part for part in piece.split())


def _storable(text: str) -> str:
    """Returns text on one line, as databases and files take it."""
    return " ".join(_UNSTORABLE.sub(" ", text).split())
