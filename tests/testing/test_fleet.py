from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agentnet.errors import AgentnetError, InvalidInput
from agentnet.testing import Behaviour, Fleet, Pupil, make_quiz


async def ask(url: str, text: str) -> tuple[int, str]:
    """Status and answer of one request on a connection of its own."""
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        writer.write_eof()
        raw = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    reply: Any = json.loads(raw.partition(b"\r\n\r\n")[2])
    return int(raw.split()[1]), reply["choices"][0]["message"]["content"] if "choices" in reply else ""


async def test_a_fleet_serves_is_changed_killed_and_brought_back() -> None:
    question = make_quiz(1, seed=1)[0]
    members = {
        "pupil": Behaviour(answer=Pupil("ada", {question.kind: 1.0})),
        "faulty": Behaviour(faults=(503, None), retry_after_s=1),
    }
    async with Fleet(members) as fleet:
        assert await ask(fleet.urls["pupil"], question.text) == (200, question.answer)
        assert [(await ask(fleet.urls["faulty"], "hi"))[0] for _ in range(2)] == [503, 200]
        await fleet.change("faulty", answer="changed")
        assert await ask(fleet.urls["faulty"], "hi") == (200, "changed")
        await fleet.stop("pupil")
        with pytest.raises(OSError):
            await ask(fleet.urls["pupil"], question.text)
        assert (await ask(fleet.urls["faulty"], "hi"))[0] == 200, "the others go on"
        await fleet.start("pupil")
        assert await ask(fleet.urls["pupil"], question.text) == (200, question.answer)
        counts = await fleet.counts()
        assert counts["faulty"] == {"requests": 4, "faults": 1, "refused": 0, "most_in_flight": 1}
        assert counts["pupil"]["requests"] == 2
        urls = list(fleet.urls.values())
    for url in urls:
        with pytest.raises(OSError):
            await ask(url, "the process has ended")


async def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(InvalidInput, match="at least one"):
        Fleet({})
    with pytest.raises(InvalidInput, match="Pupil"):
        Fleet({"a": Behaviour(answer=lambda body: "x")})
    with pytest.raises(InvalidInput, match="not running"):
        await Fleet({"a": Behaviour()}).counts()
    async with Fleet({"a": Behaviour()}) as fleet:
        with pytest.raises(InvalidInput, match="no server 'b'"):
            await fleet.stop("b")
        with pytest.raises(InvalidInput, match="latency"):
            await fleet.change("a", latency=1)
        with pytest.raises(AgentnetError, match="could not change a"):
            await fleet.change("a", answer=Pupil("x", {}), faults=3)
        await fleet.change("a", latency_s=0.0)


async def test_refusals_are_counted() -> None:
    async with Fleet({"small": Behaviour(capacity=1, overload="reject", latency_s=0.05)}) as fleet:
        url = fleet.urls["small"]
        statuses = sorted([status for status, _ in await asyncio.gather(*(ask(url, "x") for _ in range(4)))])
        assert statuses == [200, 429, 429, 429]
        counts = await fleet.counts()
        assert counts["small"] == {"requests": 4, "faults": 0, "refused": 3, "most_in_flight": 1}
