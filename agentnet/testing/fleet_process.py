"""The process behind `Fleet`: test servers ruled by lines of JSON on stdin, answered on stdout.

Run by `agentnet.testing.fleet` as ``python -m agentnet.testing.fleet_process``; it ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agentnet.errors import InvalidInput
from agentnet.testing.fleet import LONGEST_LINE, unpack
from agentnet.testing.server import Behaviour, ChatServer


class Servers:
    """The servers of the process, and what can be asked of them."""

    def __init__(self) -> None:
        self._servers: dict[str, ChatServer] = {}

    async def obey(self, order: Mapping[str, Any]) -> Any:
        """Carries out one order and returns its reply."""
        what, name = order["order"], order.get("name", "")
        if what == "open":
            server = self._servers[name] = ChatServer(Behaviour(**unpack(order["settings"])))
            await server.start()
            return server.url
        if what == "counts":
            return {key: server.counts() for key, server in self._servers.items()}
        server = self._servers[name]
        if what == "change":
            server.behaviour = replace(server.behaviour, **unpack(order["settings"]))
        elif what == "stop":
            await server.stop()
        elif what == "start":
            await server.start()
        else:
            raise InvalidInput(f"unknown order {what!r}.")
        return None

    async def close(self) -> None:
        """Stops all servers."""
        for server in self._servers.values():
            await server.stop()


async def serve() -> None:
    """Obeys orders until the input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    servers = Servers()
    while line := await reader.readline():
        try:
            reply = {"reply": await servers.obey(json.loads(line))}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()
    await servers.close()


if __name__ == "__main__":
    asyncio.run(serve())
