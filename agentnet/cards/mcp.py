"""Imports tool lists of the Model Context Protocol: one agent per tool, or one for the whole server.

Format: the result of ``tools/list`` (https://modelcontextprotocol.io, revisions up to 2025-11-25), alone, in
its JSON-RPC envelope, or as the bare list of tools. Tools are described, never called; what a schema or an
annotation claims is the server's word only.

An imported agent has the strategy ``mcp`` and the tool's name in ``options``. To call it, give the runtime a
function for that strategy (``Runtime(pool, strategies={"mcp": ask})``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from agentnet.cards.source import TIMEOUT_S, fetch_json, is_url, read_json
from agentnet.cards.texts import (
    DESCRIPTION_CHARS,
    EXAMPLE_CHARS,
    NAME_CHARS,
    clean_text,
    list_field,
    object_field,
    sentence,
    text_field,
    unique_name,
)
from agentnet.errors import DataError, PoolError
from agentnet.graphs.agent import Agent

STRATEGY = "mcp"
"""Strategy of imported agents: the runtime needs a function of that name to call them."""
MOST_PARAMETERS = 12
"""Most parameters of a tool that its description names."""
HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")
"""Annotations that are kept, as options of the agent: the server's word, proven by nobody."""

Per = Literal["tool", "server"]


def import_mcp(
    source: str | Path,
    *,
    per: Per = "tool",
    server: str = "",
    taken: Iterable[str] = (),
    timeout_s: float = TIMEOUT_S,
) -> tuple[Agent, ...]:
    """Returns the agents that MCP tool lists describe.

    Args:
        source: A file, a folder of ``.json`` files (one list each), or the http(s) address of such a file.
        per: One agent per ``"tool"``, or one per ``"server"`` that names all its tools.
        server: The server's name; with one, agents of tools are called ``server.tool``. An agent per server
            takes the file's name where none is given.
        taken: Names that must not be given.
        timeout_s: Seconds that a fetch may take.

    Raises:
        DataError: the source cannot be read, or a field is missing or of a wrong type: the error names both.
    """
    if is_url(source):
        found = [fetch_json([str(source)], timeout_s=timeout_s)]
    else:
        found = list(read_json(source))
    names = list(taken)
    agents: list[Agent] = []
    for where, value in found:
        own = server or (Path(where).stem if per == "server" else "")
        for agent in parse_tools(value, where, per=per, server=own, taken=names):
            names.append(agent.name)
            agents.append(agent)
    return tuple(agents)


async def aimport_mcp(
    source: str | Path,
    *,
    per: Per = "tool",
    server: str = "",
    taken: Iterable[str] = (),
    timeout_s: float = TIMEOUT_S,
) -> tuple[Agent, ...]:
    """Does as `import_mcp`, off the event loop."""
    return await asyncio.to_thread(
        import_mcp, source, per=per, server=server, taken=tuple(taken), timeout_s=timeout_s
    )


def parse_tools(
    value: Any,
    where: str = "the tool list",
    *,
    per: Per = "tool",
    server: str = "",
    taken: Sequence[str] = (),
) -> tuple[Agent, ...]:
    """Returns the agents of one tool list.

    Args:
        value: The list's JSON value.
        where: What errors call it.
        per: As in `import_mcp`.
        server: As in `import_mcp`; needed for an agent per server.
        taken: Names that must not be given.

    Raises:
        DataError: a field is missing or of a wrong type, or a text holds a secret.

    >>> (agent,) = parse_tools([{"name": "forecast", "description": "Weather of a place",
    ...     "inputSchema": {"properties": {"place": {"type": "string", "description": "a town"}}}}])
    >>> agent.name, agent.description
    ('forecast', 'forecast: Weather of a place. Takes: place (a town).')
    """
    if per not in ("tool", "server"):
        raise DataError(f"import one agent per 'tool' or per 'server'; got {per!r}.")
    tools = [_tool(item, f"{where}: tools[{i}]") for i, item in enumerate(_tools(value, where))]
    prefix = text_field(server, f"{where}: the server's name", NAME_CHARS)
    names = list(taken)
    if per == "server":
        if not prefix:
            raise DataError(f"{where}: an agent per server needs the server's name.")
        text = " ".join(["Tools:", *(tool["brief"] for tool in tools)])
        options: dict[str, Any] = {"server": prefix, "tools": [tool["name"] for tool in tools]}
        return (_agent(unique_name(prefix, names), text, options, where),)
    agents = []
    for tool in tools:
        name = unique_name((f"{prefix}.{tool['name']}" if prefix else tool["name"])[:NAME_CHARS], names)
        names.append(name)
        options = {"tool": tool["name"], **({"server": prefix} if prefix else {}), **tool["hints"]}
        agents.append(_agent(name, tool["text"], options, where))
    return tuple(agents)


def _agent(name: str, description: str, options: dict[str, Any], where: str) -> Agent:
    cut = description[:DESCRIPTION_CHARS].strip()
    try:
        return Agent(name=name, description=cut, strategy=STRATEGY, options=options)
    except PoolError as error:  # a name that holds credentials
        raise DataError(f"{where}: {error}") from None


def _tools(value: Any, where: str) -> list[Any]:
    """The tools in any of the forms that a list is stored in."""
    if isinstance(value, dict) and "jsonrpc" in value:
        if "result" not in value:
            raise DataError(f"{where} is a JSON-RPC answer without a result.")
        value = value["result"]
    if isinstance(value, dict):
        if value.get("nextCursor"):
            raise DataError(
                f"{where} is only one page of a tool list (nextCursor is set): join the tools of all pages "
                "into one list first."
            )
        if "tools" not in value:
            raise DataError(f"{where}: tools is missing; a tool list has it.")
        value = value["tools"]
    items = list_field(value, f"{where}: tools")
    if not items:
        raise DataError(f"{where}: tools is empty.")
    return items


def _tool(item: Any, where: str) -> dict[str, Any]:
    tool = object_field(item, where)
    name = text_field(tool.get("name"), f"{where}.name", NAME_CHARS, needed=True)
    annotations = tool.get("annotations")
    hints = {} if annotations is None else object_field(annotations, f"{where}.annotations")
    # The title stood among the annotations before revision 2025-06-18.
    title = text_field(tool.get("title"), f"{where}.title", NAME_CHARS) or text_field(
        hints.get("title"), f"{where}.annotations.title", NAME_CHARS
    )
    about = text_field(tool.get("description"), f"{where}.description", DESCRIPTION_CHARS)
    label = title or name
    brief = sentence(f"{label}: {about}" if about else label)
    takes = _parameters(tool.get("inputSchema"), f"{where}.inputSchema")
    return {
        "name": name,
        "brief": brief,
        "text": f"{brief} Takes: {', '.join(takes)}." if takes else brief,
        "hints": {hint: hints[hint] for hint in HINTS if isinstance(hints.get(hint), bool)},
    }


def _parameters(schema: Any, where: str) -> list[str]:
    """Parameters in words; of the schema only names and descriptions are read."""
    if schema is None:
        return []
    properties = object_field(schema, where).get("properties")
    if properties is None:
        return []
    texts = []
    for key, value in list(object_field(properties, f"{where}.properties").items())[:MOST_PARAMETERS]:
        name = clean_text(key, NAME_CHARS)
        about = value.get("description") if isinstance(value, dict) else None  # true is a schema as well
        told = text_field(about, f"{where}.properties.{name}.description", EXAMPLE_CHARS).rstrip(".")
        texts.append(f"{name} ({told})" if told else name)
    return [text for text in texts if text]
