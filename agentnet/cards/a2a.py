"""Imports A2A agent cards: what other agents publish about themselves, as agents of a pool.

Format: the AgentCard of the Agent2Agent protocol (https://a2a-protocol.org), versions 0.2 and 0.3 (``url``,
``preferredTransport``, ``protocolVersion``) and 1.0 (``supportedInterfaces``). Of a card only what routing
and a later call need is kept; security schemes, signatures and extensions are not read.

An imported agent has the strategy ``a2a`` and its address in ``options``. Routers know it at once. To call
it, give the runtime a function for that strategy (``Runtime(pool, strategies={"a2a": ask})``): agentnet has
no A2A client of its own.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from agentnet.cards.source import TIMEOUT_S, fetch_json, is_url, read_json
from agentnet.cards.texts import (
    DESCRIPTION_CHARS,
    EXAMPLE_CHARS,
    MOST_EXAMPLES,
    NAME_CHARS,
    list_field,
    object_field,
    sentence,
    text_field,
    text_list,
    unique_name,
)
from agentnet.errors import DataError, PoolError
from agentnet.graphs.agent import Agent

STRATEGY = "a2a"
"""Strategy of imported agents: the runtime needs a function of that name to call them."""
WELL_KNOWN = ("/.well-known/agent-card.json", "/.well-known/agent.json")
"""Where a server publishes its card: since version 0.3 of the protocol, and before."""

Per = Literal["card", "skill"]

_ADDRESS = re.compile(r"(?:(?:https?|grpcs?|wss?)://\S+|[\w.-]+(?::\d+)?(?:/\S*)?)", re.IGNORECASE)


def import_a2a(
    source: str | Path, *, per: Per = "card", taken: Iterable[str] = (), timeout_s: float = TIMEOUT_S
) -> tuple[Agent, ...]:
    """Returns the agents that A2A cards describe.

    Args:
        source: A file with a card or a list of cards, a folder of such files, or an http(s) address: a card's
            own (ending in ``.json``) or a server's, which publishes it at a well-known path.
        per: One agent per ``"card"``, or per ``"skill"`` of each card.
        taken: Names that must not be given.
        timeout_s: Seconds that a fetch may take.

    Raises:
        DataError: the source cannot be read, or a field is missing or of a wrong type: the error names both.
    """
    if is_url(source):
        where, value = fetch_json(_addresses(str(source)), timeout_s=timeout_s)
        found = [(where, value)]
    else:
        found = list(read_json(source))
    names = list(taken)
    agents: list[Agent] = []
    for where, value in found:
        for place, card in _cards(value, where):
            for agent in parse_card(card, place, per=per, taken=names):
                names.append(agent.name)
                agents.append(agent)
    return tuple(agents)


async def aimport_a2a(
    source: str | Path, *, per: Per = "card", taken: Iterable[str] = (), timeout_s: float = TIMEOUT_S
) -> tuple[Agent, ...]:
    """Does as `import_a2a`, off the event loop."""
    return await asyncio.to_thread(import_a2a, source, per=per, taken=tuple(taken), timeout_s=timeout_s)


def parse_card(
    card: Any, where: str = "the card", *, per: Per = "card", taken: Sequence[str] = ()
) -> tuple[Agent, ...]:
    """Returns the agents of one card.

    Args:
        card: The card's JSON value.
        where: What errors call it.
        per: As in `import_a2a`.
        taken: Names that must not be given.

    Raises:
        DataError: a field is missing or of a wrong type, or a text holds a secret.

    >>> (agent,) = parse_card({"name": "Cards", "url": "https://bank.example/a2a", "skills": [
    ...     {"id": "lost", "name": "Lost cards", "description": "Blocks cards",
    ...      "examples": ["I lost my card"]}]})
    >>> agent.description, agent.examples, agent.options["url"]
    ('Lost cards: Blocks cards.', ('I lost my card',), 'https://bank.example/a2a')
    """
    if per not in ("card", "skill"):
        raise DataError(f"import one agent per 'card' or per 'skill'; got {per!r}.")
    card = object_field(card, where)
    name = text_field(card.get("name"), f"{where}: name", NAME_CHARS, needed=True)
    about = text_field(card.get("description"), f"{where}: description", DESCRIPTION_CHARS)
    skills = [
        _skill(item, f"{where}: skills[{i}]")
        for i, item in enumerate(list_field(card.get("skills"), f"{where}: skills"))
    ]
    options = _options(card, where)
    names = list(taken)
    if per == "skill":
        if not skills:
            raise DataError(f"{where} has no skills; import it as one agent per card.")
        agents = []
        for skill in skills:
            own = unique_name(f"{name} {skill['name']}"[:NAME_CHARS].strip(), names)
            names.append(own)
            of_skill = options | {"skill": skill["id"]}
            agents.append(_agent(own, skill["text"], skill["examples"], of_skill, where))
        return tuple(agents)
    # Skills come last: a prompt that cuts a long description keeps what the card says of itself.
    description = " ".join([sentence(about), *(skill["text"] for skill in skills)]).strip()
    if not description:
        raise DataError(f"{where}: description is missing or empty, and there are no skills to take it of.")
    examples = dict.fromkeys(_in_turn([skill["examples"] for skill in skills]))
    return (_agent(unique_name(name, names), description, tuple(examples), options, where),)


def _agent(
    name: str, description: str, examples: Sequence[str], options: dict[str, Any], where: str
) -> Agent:
    try:
        return Agent(
            name=name,
            description=description[:DESCRIPTION_CHARS].strip(),
            examples=tuple(examples[:MOST_EXAMPLES]),
            strategy=STRATEGY,
            options=options,
        )
    except PoolError as error:  # an address that holds credentials
        raise DataError(f"{where}: {error}") from None


def _skill(item: Any, where: str) -> dict[str, Any]:
    skill = object_field(item, where)
    ident = text_field(skill.get("id"), f"{where}.id", NAME_CHARS)
    name = text_field(skill.get("name"), f"{where}.name", NAME_CHARS) or ident
    if not name:
        raise DataError(f"{where} has neither a name nor an id.")
    about = text_field(skill.get("description"), f"{where}.description", DESCRIPTION_CHARS)
    tags = text_list(skill.get("tags"), f"{where}.tags", NAME_CHARS)
    text = sentence(f"{name}: {about}" if about and about != name else name)
    if tags:
        text += f" Topics: {', '.join(tags)}."
    return {
        "id": ident or name,
        "name": name,
        "text": text,
        "examples": text_list(skill.get("examples"), f"{where}.examples", EXAMPLE_CHARS),
    }


def _options(card: dict[str, Any], where: str) -> dict[str, Any]:
    """What a caller needs: the preferred interface, in the terms of either version of the protocol."""
    options: dict[str, Any] = {}
    interfaces = list_field(card.get("supportedInterfaces"), f"{where}: supportedInterfaces")
    if interfaces:
        place = "supportedInterfaces[0]."
        first = object_field(interfaces[0], f"{where}: {place[:-1]}")
        keys = ("url", "protocolBinding", "protocolVersion", "tenant")
    else:
        first, place = card, ""
        keys = ("url", "preferredTransport", "protocolVersion", "tenant")
    for key, name in zip(keys, ("url", "binding", "protocol_version", "tenant"), strict=True):
        if value := text_field(first.get(key), f"{where}: {place}{key}", EXAMPLE_CHARS):
            options[name] = value
    if "url" in options and not _ADDRESS.fullmatch(options["url"]):
        raise DataError(f"{where}: {place}url is no address of http, https, grpc or a host.")
    if version := text_field(card.get("version"), f"{where}: version", NAME_CHARS):
        options["version"] = version
    return options


def _cards(value: Any, where: str) -> list[tuple[str, Any]]:
    if isinstance(value, list):
        items = list_field(value, where)
        if not items:
            raise DataError(f"{where} is an empty list; it holds a card or a list of cards.")
        return [(f"{where}: card {i}", item) for i, item in enumerate(items)]
    return [(where, value)]


def _in_turn(groups: Sequence[Sequence[str]]) -> list[str]:
    """First items of all groups, then second ones: a bound then takes from every group."""
    longest = max(map(len, groups), default=0)
    return [group[i] for i in range(longest) for group in groups if i < len(group)]


def _addresses(url: str) -> list[str]:
    """Where the card of an address may lie."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise DataError("the address is malformed.") from None
    if parts.path.endswith(".json"):
        return [url]
    base = parts.path.rstrip("/")
    return [urlunsplit((parts.scheme, parts.netloc, base + path, parts.query, "")) for path in WELL_KNOWN]
