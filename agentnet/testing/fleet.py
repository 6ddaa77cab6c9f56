"""`Fleet`: several test servers in a process of their own, so that serving does not slow the client down."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import fields
from types import TracebackType
from typing import Any, Self

from agentnet.errors import AgentnetError, InvalidInput
from agentnet.testing.quiz import Pupil
from agentnet.testing.server import Behaviour

_PATIENCE_S = 30.0
SETTINGS = frozenset(item.name for item in fields(Behaviour))
LONGEST_LINE = 1 << 24


def pack(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns fields of a `Behaviour` as JSON values.

    Raises:
        InvalidInput: a field does not exist, or the answer is a function other than a `Pupil`.
    """
    if unknown := sorted(set(settings) - SETTINGS):
        raise InvalidInput(f"a Behaviour has no {unknown}; it has {sorted(SETTINGS)}.")
    packed = dict(settings)
    answer = packed.get("answer")
    if isinstance(answer, Pupil):
        packed["answer"] = answer.to_dict()
    elif answer is not None and not isinstance(answer, str):
        raise InvalidInput("servers of another process answer with a text or a Pupil, not with a function.")
    return packed


def unpack(data: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the inverse of `pack`."""
    settings = dict(data)
    if isinstance(settings.get("answer"), Mapping):
        settings["answer"] = Pupil.from_dict(settings["answer"])
    if "faults" in settings:
        settings["faults"] = tuple(settings["faults"])
    return settings


class Fleet:
    """Named servers (`ChatServer`) in one further process; an asynchronous context manager.

    Servers can be changed, stopped and started while they serve, as those of this process can. An answer is a
    text or a `Pupil`: functions do not cross over to another process.

    Args:
        members: Each server's behaviour by name.

    >>> from agentnet.runtime.sync import run_sync
    >>> async def addresses() -> list[str]:
    ...     async with Fleet({"fast": Behaviour(), "slow": Behaviour(latency_s=2.0)}) as fleet:
    ...         await fleet.change("slow", latency_s=20.0)
    ...         return sorted(fleet.urls)
    >>> run_sync(addresses())
    ['fast', 'slow']
    """

    def __init__(self, members: Mapping[str, Behaviour]) -> None:
        if not members:
            raise InvalidInput("a fleet needs at least one server.")
        self._members = {
            name: pack({item.name: getattr(how, item.name) for item in fields(how)})
            for name, how in members.items()
        }
        self.urls: dict[str, str] = {}
        """The address of each server, to give as ``api_base``; it stays the same over stop and start."""
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        path = os.pathsep.join(item for item in sys.path if item)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "agentnet.testing.fleet_process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
            env={**os.environ, "PYTHONPATH": path},
        )
        try:
            for name, settings in self._members.items():
                self.urls[name] = await self._order("open", name, settings=settings)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def change(self, name: str, **settings: Any) -> None:
        """Changes fields of a server's `Behaviour`, for requests that come from now on."""
        await self._order("change", name, settings=pack(settings))

    async def stop(self, name: str) -> None:
        """Kills a server: the port closes and open connections break."""
        await self._order("stop", name)

    async def start(self, name: str) -> None:
        """Brings a killed server back at the same address."""
        await self._order("start", name)

    async def counts(self) -> dict[str, dict[str, int]]:
        """Returns what each server has seen: see `ChatServer.counts`."""
        counts: dict[str, dict[str, int]] = await self._order("counts")
        return counts

    async def _order(self, what: str, name: str = "", **more: Any) -> Any:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise InvalidInput("the fleet is not running: use it as an asynchronous context manager.")
        if name and name not in self._members:
            raise InvalidInput(f"no server {name!r} in the fleet; it has {', '.join(self._members)}.")
        async with self._turn:
            process.stdin.write(json.dumps({"order": what, "name": name, **more}).encode() + b"\n")
            await process.stdin.drain()
            line = await asyncio.wait_for(process.stdout.readline(), _PATIENCE_S)
        reply = json.loads(line) if line else {"error": "its process has ended"}
        if "error" in reply:
            raise AgentnetError(f"the fleet could not {what} {name}: {reply['error']}")
        return reply["reply"]

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _PATIENCE_S)
        except TimeoutError:
            process.kill()
            await process.wait()
