"""Test doubles for programs built on agentnet: no key, no network, no patching.

`ScriptedClient` answers from a function, `RecordedClient` replays what was recorded, and `ChatServer` is
an OpenAI-compatible server on loopback whose latency, capacity and faults are set by the test.
"""

from __future__ import annotations

from agentnet.runtime.clients.recorded import RecordedClient, Recorder
from agentnet.runtime.clients.scripted import ScriptedClient, VirtualClock
from agentnet.testing.server import Behaviour, ChatServer, Served

__all__ = [
    "Behaviour",
    "ChatServer",
    "RecordedClient",
    "Recorder",
    "ScriptedClient",
    "Served",
    "VirtualClock",
]
