"""Test doubles for programs built on agentnet: no key, no network, no patching.

`ScriptedClient` answers from a function, `RecordedClient` replays what was recorded, and `ChatServer` is
an OpenAI-compatible server on loopback whose latency, capacity and faults are set by the test; a `Fleet`
is several of them in a process of their own. `make_quiz` makes questions with exact answers, and a `Pupil`
answers a set share of them rightly.
"""

from __future__ import annotations

from agentnet.runtime.clients.recorded import RecordedClient, Recorder
from agentnet.runtime.clients.scripted import ScriptedClient, VirtualClock
from agentnet.testing.fleet import Fleet
from agentnet.testing.quiz import Pupil, Question, make_quiz
from agentnet.testing.server import Behaviour, ChatServer, Served

__all__ = [
    "Behaviour",
    "ChatServer",
    "Fleet",
    "Pupil",
    "Question",
    "RecordedClient",
    "Recorder",
    "ScriptedClient",
    "Served",
    "VirtualClock",
    "make_quiz",
]
